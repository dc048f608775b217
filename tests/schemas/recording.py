"""Real events, recorded: `python -m tests.schemas.recording` runs the real servers and writes the fixtures anew.

`tests/schemas/golden/<event>.v1.json` is one envelope of each type; what was released once is never written again.
`tests/schemas/recorded.json` is the whole history of media on which everything happened that may: a first run, an
overwrite, a dead letter and its retry, a late copy, a replay, and in the second one a quarantine and a deletion.
"""

import asyncio
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cli import application
from events.dead import letters, retry
from events.envelope import HEADERS, Envelope, begin
from events.invoke import Invoke
from events.registry import registry
from infra.context import Context
from infra.decoder import DecoderPool
from infra.local.stack import StackOptions
from infra.local.threaded import ThreadedStack
from schemas.document import CloudEvent, event_name
from schemas.events import EVENTS, Deleted, Promoted
from schemas.media import Media
from schemas.profiles import ImageProfile
from schemas.subjects import Subject, temp_key
from tests.samples import images
from tests.samples.documents import unique_pdf
from tests.system import System, condemn, poll, provisioned, working

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
RECORDED = HERE / "recorded.json"
JOBS = HERE.parent / "infra" / "decoder" / "hostile.py"
WINDOW_SECONDS = 0.5
HARMLESS_SO_FAR = b"A sentence that no signature knows yet."


async def broken(_event: object, _ctx: object) -> None:
    """A function with a bug."""
    raise RuntimeError("no such page")


async def much_happens(system: System, body: bytes, content_type: str) -> str:
    """A media that is overwritten, fails, is retried, repeated and replayed."""
    media_id, form = await system.request(body, content_type, form=True)
    assert await system.send(form, body) == 204
    assert await system.send(form, body[:-1] + b"~") == 204
    async with working(system, handlers={"identify": broken}, attempts=1):
        await system.happens(media_id, "overwritten")
        await system.happens(media_id, "failed")
    async with working(system):
        (letter,) = [found async for found in letters(system.bus) if found[1].about == media_id]
        await retry(system.bus, *letter, asker=media_id)
        await poll(lambda: ended(system, media_id))
        # Outside the duplicate window the same input is worked on once more: same ids, later times.
        uploaded = await system.happens(media_id, "uploaded")
        await asyncio.sleep(2 * WINDOW_SECONDS)
        await Invoke("identify", Envelope.model_validate(uploaded)).publish(system.bus, "late copy")
        await poll(lambda: times(system, media_id, "identified", 2))
        identified = await system.happens(media_id, "identified")
        run = await system.replay("scan", identified)
        await poll(lambda: ended(system, media_id, run))
    return media_id


async def ended(system: System, media_id: str, run: str = "0") -> bool:
    """Whether a run came to its end and its objects are discarded."""
    names = {event_name(event) for event in await system.events(media_id) if event["run"] == run}
    return "discarded" in names and bool({"ready", "quarantined", "rejected", "deleted"} & names)


async def times(system: System, media_id: str, name: str, count: int) -> bool:
    """Whether an event was published so often."""
    return sum(event_name(event) == name for event in await system.events(media_id)) >= count


async def delete(system: System, media_id: str) -> None:
    """Do what the gateway does when an owner deletes a media."""
    requested = await system.happens(media_id, "requested")
    event = Deleted(media=Media.model_validate(requested["data"]["media"]), deleted_by="alice")
    envelope = begin(event, event_id=f"deleted-{media_id}", source="gateway", lane="standard")
    subject = Subject("deleted", "unknown", "standard", media_id, "0", "gateway")
    await system.bus.publish(str(subject), envelope.encode(), message_id=envelope.id, headers=HEADERS)


async def pictured(system: System) -> None:
    """Two pictures, one of which takes its decoder along: what is said of products."""
    pool, render = partial(DecoderPool, extra_jobs=JOBS), registry.functions["render_image"].handler

    async def hurt(event: Promoted, ctx: Context) -> Any:
        if event.media.filename == "hostile.jpg":
            await ctx.decoders.run("segfault")
        return await render(event, ctx)

    with patch.object(application, "DecoderPool", pool):
        async with working(system, handlers={"render_image": hurt}, images=ImageProfile()):
            for name in ("good.jpg", "hostile.jpg"):
                media_id = await system.upload(images.real("chelsea"), "image/jpeg", filename=name)
                await poll(lambda media_id=media_id: outcomes(system, media_id))
                keep(await system.events(media_id), "done", "skipped")


async def outcomes(system: System, media_id: str) -> bool:
    """Whether each of a media's products has ended."""
    products = (await system.fold(media_id)).products()
    return bool(products) and None not in products.values()


async def record(stack: ThreadedStack) -> dict[str, list[CloudEvent]]:
    """Run it all; the events of each media."""
    changes: dict[str, Any] = {"duplicate_window_seconds": WINDOW_SECONDS, "abandoned_after_seconds": -60.0}
    async with provisioned(stack, **changes) as system:
        never, _ = await system.request(b"", expires=30)
        ready = await much_happens(system, unique_pdf(7, 8_000), "application/pdf")
        condemned = await much_happens(system, HARMLESS_SO_FAR + b"\n", "text/plain")
        await condemn(stack, HARMLESS_SO_FAR)
        async with working(system, **changes):
            run = await system.replay("scan", await system.happens(condemned, "identified"))
            await poll(lambda: ended(system, condemned, run))
            rejected = await system.upload(b"\x7fELF\x02\x01\x01" + bytes(200))
            await poll(lambda: ended(system, rejected))
            await delete(system, condemned)
            await poll(lambda: times(system, condemned, "discarded", 4))
            await system.objects.put(temp_key("foreign"), b"hello", content_type="text/plain")
            await system.tick()
            await system.happens(never, "abandoned")
        await pictured(system)
        named = {"ready": ready, "condemned": condemned, "rejected": rejected, "abandoned": never}
        return {name: await system.events(media_id) for name, media_id in named.items()}


def main() -> None:
    """Record and write."""
    options = StackOptions(sync_always=False, system_signatures=None)
    with tempfile.TemporaryDirectory() as directory, ThreadedStack(Path(directory), options=options) as stack:
        recorded = asyncio.run(record(stack))
    RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    GOLDEN.mkdir(exist_ok=True)
    for events in recorded.values():
        keep(events)


def keep(events: list[CloudEvent], *names: str) -> None:
    """Write those of which there is no fixture yet; of all names, or of some."""
    for event in events:
        path = GOLDEN / f"{event_name(event)}.v{EVENTS[event_name(event)].version}.json"
        if not path.exists() and (not names or event_name(event) in names):
            path.write_text(json.dumps(event, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
