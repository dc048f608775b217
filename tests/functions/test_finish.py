"""`finish` and `discard` after `promoted`: products come in any order, twice, late, or never."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from uuid_utils import uuid7

from cli.application import subject
from events.envelope import HEADERS, Envelope, follow
from infra.local.threaded import ThreadedStack
from schemas.document import CloudEvent
from schemas.events import Deleted, Done, Failed, MediaEvent, Promoted, Skipped
from schemas.profiles import DocumentProfile
from schemas.renditions import Rendition, StreamDescription, rendition_key
from tests.samples.documents import unique_pdf
from tests.system import System, connected, poll, provisioned, working

WAY = ("receive", "identify", "scan", "probe", "promote", "finish", "discard", "record")
PROMISING: dict[str, Any] = {"documents": DocumentProfile(page="required", excerpt="optional")}


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack, where a test's own hand makes what the profile promises."""
    async with provisioned(stack, **PROMISING) as provided:
        yield provided


def _done(promoted: Promoted, product: str) -> Done:
    made = Rendition(name=f"{product}.webp", content_type="image/webp", size=1)
    return Done(
        media=promoted.media,
        identity=promoted.identity,
        product=product,
        required=_required(promoted, product),
        renditions=(made,),
    )


def _skipped(promoted: Promoted, product: str) -> Skipped:
    return Skipped(
        media=promoted.media,
        identity=promoted.identity,
        product=product,
        required=_required(promoted, product),
        code="corrupt",
        reason="It can't be drawn.",
    )


def _failed(promoted: Promoted, product: str) -> Failed:
    required = _required(promoted, product)
    return Failed(media=promoted.media, function="maker", products=(product,), required=required, error="It broke.")


def _required(promoted: Promoted, product: str) -> bool:
    return {each.name: each.required for each in promoted.products}[product]


async def _say(system: System, cause: CloudEvent, event: MediaEvent, run: str = "0") -> None:
    envelope = Envelope.model_validate(cause).model_copy(update={"run": run})
    said = follow(event, cause=envelope, function="maker", version="1")
    await system.bus.publish(str(subject(event, said)), said.encode(), message_id=said.id, headers=HEADERS)


async def _promoted(system: System) -> tuple[str, CloudEvent, Promoted]:
    media_id = await system.upload(unique_pdf(int(uuid7()) % 10**9, 8_000))
    cause = await system.until(media_id, "promoted")
    return media_id, cause, Promoted.model_validate(cause["data"])


async def _state(system: System, media_id: str) -> str:
    return (await system.fold(media_id)).state()


async def _settled(system: System, *functions: str) -> None:
    """Wait until functions have nothing left to do."""

    async def idle() -> bool:
        states = await system.bus.state("MEDIA")
        return all(not each.pending and not each.unacknowledged for each in states if each.name in functions)

    await poll(idle)


async def test_ready_follows_the_last_product(system: System) -> None:
    """Whichever comes last; and it is said once, however many came at the same time."""
    async with working(system, WAY, **PROMISING):
        for order in itertools.permutations(("page", "excerpt")):
            media_id, cause, promoted = await _promoted(system)
            await _say(system, cause, _done(promoted, order[0]))
            await _settled(system, "finish")
            assert await _state(system, media_id) == "processing"
            await _say(system, cause, _done(promoted, order[1]))
            ready = await system.until(media_id, "ready")
            assert [product["name"] for product in ready["data"]["products"]] == ["page", "excerpt"]
        media_id, cause, promoted = await _promoted(system)
        await asyncio.gather(*(_say(system, cause, _done(promoted, each)) for each in ("page", "excerpt")))
        await system.until(media_id, "ready")
        await _settled(system, "finish", "record", "discard")
        names = [event["type"].split(".")[2] for event in await system.events(media_id)]
        assert names.count("ready") == 1


async def test_an_optional_product_may_end_otherwise(system: System) -> None:
    """Skipped or failed, the media is ready without it."""
    async with working(system, WAY, **PROMISING):
        for ending in (_skipped, _failed):
            media_id, cause, promoted = await _promoted(system)
            await _say(system, cause, ending(promoted, "excerpt"))
            await _say(system, cause, _done(promoted, "page"))
            await system.until(media_id, "ready")
            fold = await system.fold(media_id)
            assert fold.state() == "ready"
            outcome = fold.products()["excerpt"]
            assert outcome is not None
            assert outcome["type"].split(".")[2] == ending(promoted, "excerpt").event


async def test_a_required_product_is_required(system: System) -> None:
    """Without it the media is failed, whatever else there is; made after all, it is ready."""
    async with working(system, WAY, **PROMISING):
        for ending in (_skipped, _failed):
            media_id, cause, promoted = await _promoted(system)
            await _say(system, cause, ending(promoted, "page"))
            await _say(system, cause, _done(promoted, "excerpt"))
            await _settled(system, "finish")
            assert await _state(system, media_id) == "failed"
            failed = await system.happens(media_id, "failed")
            assert failed["data"]["error"].endswith(("It can't be drawn.", "It broke."))
            # A retry has the same run; a replay of what was refused has its own.
            await _say(system, cause, _done(promoted, "page"), "0" if ending is _failed else str(uuid7()))
            await system.until(media_id, "ready")
            assert await _state(system, media_id) == "ready"


async def test_a_product_that_is_promised_no_more_is_missed_no_more(system: System) -> None:
    """Where a later profile promises less, a replay of `promote` makes the media ready without it."""
    async with working(system, WAY, **PROMISING):
        media_id, cause, promoted = await _promoted(system)
        await _say(system, cause, _skipped(promoted, "page"))
        await _say(system, cause, _done(promoted, "excerpt"))
        await _settled(system, "finish")
        assert await _state(system, media_id) == "failed"
        run = str(uuid7())
        await _say(system, cause, promoted.model_copy(update={"products": promoted.products[1:]}), run)
        await system.happens(media_id, "ready", run)
        assert await _state(system, media_id) == "ready"


async def test_a_product_made_again_replaces_its_own_cell_alone(system: System) -> None:
    """In a run of its own; the media stays ready meanwhile."""
    async with working(system, WAY, **PROMISING):
        media_id, cause, promoted = await _promoted(system)
        for product in ("page", "excerpt"):
            await _say(system, cause, _done(promoted, product))
        await system.until(media_id, "ready")
        run = str(uuid7())
        await _say(system, cause, _done(promoted, "page"), run)
        await system.happens(media_id, "ready", run)
        fold = await system.fold(media_id)
        assert fold.state() == "ready"
        assert {name: (event or {})["run"] for name, event in fold.products().items()} == {"page": run, "excerpt": "0"}


async def test_what_comes_after_the_end_is_removed(system: System) -> None:
    """A product of a media that was deleted meanwhile leaves nothing behind."""
    async with working(system, WAY, **PROMISING):
        media_id, cause, promoted = await _promoted(system)
        await system.until(media_id, "discarded")
        await _say(system, cause, Deleted(media=promoted.media, deleted_by="alice"))
        await _settled(system, "discard")
        async with connected(system) as services:
            await services.objects.put(rendition_key(media_id, "page.webp"), b"!", content_type="image/webp")
        await _say(system, cause, _done(promoted, "page"))
        await _settled(system, "discard", "finish", "record")
        left = [entry.key async for entry in system.objects.list(f"permanent/{media_id}")]
        assert left == []
        assert await _state(system, media_id) == "deleted"


async def test_a_finished_stream_has_no_more_use_for_its_pieces(system: System) -> None:
    """What lies in work/ goes when the product `stream` is done, and not before."""
    async with working(system, WAY, **PROMISING), connected(system) as services:
        media_id, cause, promoted = await _promoted(system)
        piece = f"work/{media_id}/plan/0-360p.mp4"
        await services.objects.put(piece, b"!", content_type="video/mp4")
        await _say(system, cause, _done(promoted, "page"))
        await _settled(system, "discard")
        assert await system.objects.head(piece) is not None
        stream = _done(promoted, "page").model_copy(update={"product": "stream"})
        await _say(system, cause, stream)
        await _settled(system, "discard")
        assert await system.objects.head(piece) is None


async def test_a_finished_stream_leaves_another_plans_pieces(system: System) -> None:
    """A replay under another profile goes on, though the run before it is done meanwhile."""
    async with working(system, WAY, **PROMISING), connected(system) as services:
        media_id, cause, promoted = await _promoted(system)
        mine, other = (f"work/{media_id}/{digit * 32}/0-360p.mp4" for digit in "ab")
        for piece in (mine, other):
            await services.objects.put(piece, b"!", content_type="video/mp4")
        description = StreamDescription(duration_seconds=1, frames=25, segments=1, plan="a" * 32)
        stream = _done(promoted, "page").model_copy(update={"product": "stream", "description": description})
        await _say(system, cause, stream)
        await _settled(system, "discard")
        assert await system.objects.head(mine) is None
        assert await system.objects.head(other) is not None
