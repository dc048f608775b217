"""From `encoded` to `playable` and `done`: whoever finds all pieces packages them, without a lock or a counter."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from events.failpoints import failpoint
from events.registry import function
from functions.video.pieces import PRODUCT, Pieces, is_wanted, pieces
from infra.context import Context
from infra.decoder import write_all
from infra.errors import Gone, PreconditionFailed
from infra.ffmpeg.written import written
from infra.object_headers import ObjectInfo
from infra.video.check import check
from infra.video.package import FOLDER, PLAN, Package, package
from infra.video.playlists import MANIFEST, MASTER
from infra.video.sound import SoundFacts
from infra.workspace import workspace
from schemas.events import Done, Encoded, Playable
from schemas.objects import ObjectRef
from schemas.plan import SOUND, SOUND_FACTS, TABLE, Lost, Rung, Table, piece, work_key
from schemas.renditions import Rendition, StreamDescription, rendition_key

WHOLE = "tidegate-whole"
AT_ONCE = 8
_TYPES = {"m3u8": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml"}


@function(
    on=Encoded,
    kinds=("video",),
    products=(PRODUCT,),
    timeout=4 * 3600,
    concurrency=4,
    cpu=1,
    background=True,
    lanes=True,
)
async def package_video(event: Encoded, ctx: Context) -> AsyncIterator[Playable | Done]:
    """Package what is there: the first size as soon as all of it is, everything when all of that is."""
    found = await pieces(event, ctx)
    first, everything = event.plan.rungs[:1], event.plan.rungs
    if not found.whole(*first) or not await is_wanted(event, ctx):
        return
    announced = await _is_announced(event, ctx)
    whole = found.whole(*everything)
    if announced and not whole:
        return
    packaging = _Packaging(event, ctx, found)
    try:
        with workspace(ctx.settings.work_dir) as directory:
            if not announced and len(everything) > 1:
                yield await packaging.playable(first, directory)
            if whole:
                yield await packaging.whole(directory)
    except Gone:
        # Somebody else packaged it meanwhile, and `discard` took the pieces away.
        if not await _is_announced(event, ctx, whole=True):
            raise


async def _is_announced(event: Encoded, ctx: Context, *, whole: bool = False) -> bool:
    """Whether a master playlist of this plan is there; or one of another plan whose stream is whole.

    Such a stream, which is made anew under another profile, is played until the new one is whole as well.
    """
    made = await ctx.objects.head(_key(event, MASTER))
    if made is None:
        return False
    mine, complete = _standing(made, event)
    return mine and complete if whole else mine or complete


def _standing(made: ObjectInfo, event: Encoded) -> tuple[bool, bool]:
    """Whether a playlist is of this plan, and whether it is of a whole stream."""
    return made.metadata.get(PLAN) == event.plan.hash, made.metadata.get(WHOLE) == "yes"


def _key(event: Encoded, name: str) -> str:
    return rendition_key(event.media.media_id, f"{FOLDER}/{name}")


class _Packaging:
    """One delivery's work."""

    def __init__(self, event: Encoded, ctx: Context, found: Pieces) -> None:
        self._event, self._ctx, self._found = event, ctx, found
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._moved, self._to_move = 0, 0

    async def playable(self, first: tuple[Rung, ...], directory: Path) -> Playable:
        """Package the first size alone."""
        made, _, lost = await self._packaged(first, directory)
        await self._publish(made, whole=False)
        renditions = self._renditions(made, lost)
        return Playable(media=self._event.media, identity=self._event.identity, renditions=renditions)

    async def whole(self, directory: Path) -> Done:
        """Package everything."""
        event = self._event
        made, sound, lost = await self._packaged(event.plan.rungs, directory)
        before = await self._ctx.objects.head(_key(event, MASTER))
        replaced = before.metadata.get(PLAN) if before else None
        await self._publish(made, whole=True)
        return Done(
            media=event.media,
            identity=event.identity,
            product=PRODUCT,
            required=any(product.required for product in event.products if product.name == PRODUCT),
            renditions=self._renditions(made, lost),
            description=StreamDescription(
                duration_seconds=max(event.plan.seconds, made.sound.seconds if made.sound else 0.0),
                frames=event.plan.frames - lost,
                lost_frames=lost,
                segments=len(made.rungs[0].segments),
                loudness=sound.loudness if sound else None,
                plan=event.plan.hash,
                replaced=replaced if replaced != event.plan.hash else None,
            ),
        )

    async def _packaged(self, rungs: tuple[Rung, ...], directory: Path) -> tuple[Package, SoundFacts | None, int]:
        plan, ctx = self._event.plan, self._ctx
        table = Table.model_validate_json(await ctx.objects.get(self._ref(TABLE)))
        sound = None
        if plan.sound is not None:
            facts = SoundFacts.model_validate_json(await ctx.objects.get(self._ref(SOUND_FACTS)))
            sound = facts if facts.packets else None
        names = [piece(chunk, rung.name) for rung in rungs for chunk in range(plan.chunks)]
        names += [SOUND] if sound else []
        # What is fetched is stored again, in other pieces.
        self._moved, self._to_move = 0, 2 * sum(self._found.sizes.get(name, 0) for name in names)
        await self._each(names, lambda name: self._fetch(name, directory))
        made = await package(ctx.ffmpeg, plan, table, rungs, directory, sound=sound is not None)
        lost = await self._lost()
        await check(ctx.ffmpeg, plan, sound, made, lost=lost)
        return made, sound, lost

    async def _lost(self) -> int:
        """How many frames of the original are damaged."""
        told = [await self._ctx.objects.get(self._ref(name)) for name in self._found.lost]
        return sum(Lost.model_validate_json(each).frames for each in told)

    async def _fetch(self, name: str, directory: Path) -> None:
        if (directory / name).exists():
            await self._tell((directory / name).stat().st_size)
            return
        async with self._ctx.objects.open(self._ref(name)) as chunks:
            with (directory / name).open("xb", buffering=0) as file:
                async for chunk in chunks:
                    write_all(file.fileno(), chunk)
                    await self._tell(len(chunk))

    async def _tell(self, moved: int) -> None:
        self._moved += moved
        await self._ctx.progress(min(self._moved, self._to_move), self._to_move, part="package_video", product=PRODUCT)

    async def _publish(self, made: Package, *, whole: bool) -> None:
        """Segments first, playlists last: what a playlist names is there.

        What can be played first never takes the place of what is whole: it may have been overtaken.
        """
        names = [name for track in made.tracks for name in track.files]
        await self._each(names, lambda name: self._put(made, name))
        failpoint("package_video.segments")
        await self._each([track.playlist for track in made.tracks], lambda name: self._put(made, name))
        failpoint("package_video.playlists")
        await self._put_entry(made, MANIFEST, whole=whole)
        failpoint("package_video.manifest")
        await self._put_entry(made, MASTER, whole=whole)
        failpoint("package_video.master")

    async def _put(self, made: Package, name: str) -> None:
        path = written(made.folder, name)
        assert path is not None
        sound = made.sound is not None and name in {made.sound.init, *made.sound.files}
        kind = _TYPES.get(name.rpartition(".")[2], "audio/mp4" if sound else "video/mp4")
        await self._ctx.objects.put_file(_key(self._event, name), path, content_type=kind)
        await self._tell(path.stat().st_size)

    async def _put_entry(self, made: Package, name: str, *, whole: bool) -> None:
        path = written(made.folder, name)
        assert path is not None
        key, given_up = _key(self._event, name), None
        if not whole and (present := await self._ctx.objects.head(key)) is not None:
            # What another plan had to play first, and never completed.
            given_up = None if any(_standing(present, self._event)) else present.etag
        # Each for itself: whoever was killed between the two left the first one there.
        with contextlib.suppress(PreconditionFailed):
            await self._ctx.objects.put(
                key,
                path.read_bytes(),
                content_type=_TYPES[name.rpartition(".")[2]],
                metadata={PLAN: self._event.plan.hash, WHOLE: "yes" if whole else "no"},
                if_match=given_up,
                if_none_match=not whole and given_up is None,
            )

    async def _each(self, names: list[str], step: Callable[[str], Awaitable[None]]) -> None:
        async def one(name: str) -> None:
            async with self._gate:
                await step(name)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))

    def _ref(self, name: str) -> ObjectRef:
        key = work_key(self._event.media.media_id, self._event.plan.hash, name)
        return ObjectRef(bucket=self._ctx.objects.bucket, key=key, size=0)

    def _renditions(self, made: Package, lost: int) -> tuple[Rendition, ...]:
        plan = self._event.plan
        entries = [
            Rendition(
                name=f"{FOLDER}/{name}",
                content_type=_TYPES[name.rpartition(".")[2]],
                size=(made.folder / name).stat().st_size,
                duration_seconds=plan.seconds,
            )
            for name in (MASTER, MANIFEST)
        ]
        return (
            *entries,
            *(
                Rendition(
                    name=f"{FOLDER}/{track.playlist}",
                    content_type=_TYPES["m3u8"],
                    size=(made.folder / track.playlist).stat().st_size,
                    width=track.rung.width if track.rung else None,
                    height=track.rung.height if track.rung else None,
                    duration_seconds=track.seconds,
                    bit_rate=track.average,
                    frames=plan.frames - lost if track.rung else None,
                    quality=track.rung.quality if track.rung else None,
                )
                for track in made.tracks
            ),
        )
