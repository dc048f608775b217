"""From `cut` to `encoded`: one decoding of one chunk, all the sizes that the cut names."""

import time
from pathlib import Path

from events.failpoints import failpoint
from events.registry import function
from functions.video.pieces import PRODUCT, Pieces, is_wanted, pieces, threads
from infra.context import Context
from infra.ffmpeg.written import written
from infra.video.chunk import Encoding, encode
from infra.workspace import workspace
from schemas.events import Cut, Encoded
from schemas.plan import Lost, Rung, lost, piece, work_key

LIVE_SECONDS = 2.0
"""How long the first piece of all must have run before its own speed says anything."""


@function(
    on=Cut,
    kinds=("video",),
    products=(PRODUCT,),
    timeout=4 * 3600,
    concurrency=16,
    cpu=2,
    background=True,
    lanes=True,
)
async def encode_chunk(event: Cut, ctx: Context) -> Encoded | None:
    """Encode a chunk; run again, find that it is encoded."""
    done = Encoded.after(event, piece=str(event.number))
    if not await is_wanted(event, ctx):
        return None
    found = await pieces(event, ctx)
    rungs = tuple(event.plan.rung(name) for name in event.rungs)
    if all(found.has(rung, event.chunk.number) for rung in rungs):
        return done
    telling = _Telling(event, ctx, found, rungs)
    async with ctx.originals.open(event.original) as original:
        with workspace(ctx.settings.work_dir) as into:
            encoding = Encoding(original.path, event.identity.content_type, event.probe, event.plan)
            lacking = await encode(
                ctx.ffmpeg, encoding, event.chunk, rungs, into, threads=threads(ctx), on_frames=telling.frames
            )
            telling.measure()
            failpoint("encode_chunk.encoded")
            if lacking:
                # Before the pieces: who finds all of them finds this as well.
                await ctx.objects.put(
                    work_key(event.media.media_id, event.plan.hash, lost(event.chunk.number)),
                    Lost(frames=lacking).model_dump_json().encode(),
                    content_type="application/json",
                )
            for rung in rungs:
                await _store(event, into, piece(event.chunk.number, rung.name), ctx)
                failpoint("encode_chunk.stored")
    return done


async def _store(event: Cut, folder: Path, name: str, ctx: Context) -> None:
    path = written(folder, name)
    assert path is not None
    await ctx.objects.put_file(work_key(event.media.media_id, event.plan.hash, name), path, content_type="video/mp4")


class _Telling:
    """How far this piece is, and with it the whole stream."""

    def __init__(self, event: Cut, ctx: Context, found: Pieces, rungs: tuple[Rung, ...]) -> None:
        self._event, self._ctx, self._rungs = event, ctx, rungs
        self._shares = {rung.name: found.share(rung) for rung in event.plan.rungs}
        self._begun = time.monotonic()
        self._pixels = sum(rung.pixels for rung in rungs)

    async def frames(self, done: int) -> None:
        """So many frames of it are encoded."""
        event, plan = self._event, self._event.plan
        mine = {rung.name for rung in self._rungs}
        part = done / event.chunk.frames / plan.chunks
        shares = {name: min(1.0, share + part * (name in mine)) for name, share in self._shares.items()}
        total = sum(rung.pixels for rung in plan.rungs)
        made = sum(rung.pixels * shares[rung.name] for rung in plan.rungs)
        rest = (total - made) * plan.frames
        await self._ctx.progress(
            done,
            event.chunk.frames,
            part=f"encode_chunk-{event.number}",
            product=PRODUCT,
            renditions={name: round(share, 4) for name, share in shares.items()},
            overall=round(made / total, 4),
            eta_seconds=self._seconds(rest, done),
        )

    def measure(self) -> None:
        """Remember how fast it was."""
        self._ctx.speeds.measured(self._kind, self._pixels * self._event.chunk.frames, time.monotonic() - self._begun)

    @property
    def _kind(self) -> str:
        """Presets differ by an order of magnitude; rungs hardly do, a pixel."""
        return f"encode/{self._event.plan.coding.preset}"

    def _seconds(self, rest: float, done: int) -> float | None:
        known = self._ctx.speeds.seconds(self._kind, rest)
        if known is None and done and (elapsed := time.monotonic() - self._begun) >= LIVE_SECONDS:
            known = rest / (self._pixels * done) * elapsed
        return None if known is None else round(min(known, 1e9), 1)
