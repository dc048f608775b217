"""`discard`: the only one who deletes, as often as it is asked, and never anything else."""

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from events import failpoints
from functions.discard import discard
from functions.promote import promote
from infra.bucket import admin_client
from infra.local.threaded import ThreadedStack
from infra.presign import Presigner
from schemas.events import (
    MOST_NAMED_OBJECTS,
    Deleted,
    Done,
    Failed,
    MediaEvent,
    Overwritten,
    Promoted,
    Quarantined,
    Rejected,
    Skipped,
)
from schemas.media import Identity
from schemas.objects import ObjectRef
from schemas.subjects import temp_key
from tests.functions.making import probed
from tests.system import System, connected, context, provisioned

TEXT = b"Not for long."


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack) as provided:
        yield provided


async def quarantined(system: System) -> Quarantined:
    """A condemned file that lies in temp/."""
    event = await probed(system, TEXT)
    return Quarantined(media=event.media, object=event.object, identity=event.identity, verdict=event.verdict)


async def test_quarantine_moves_and_moves_again(system: System) -> None:
    """A condemned file is copied, verified and removed; repeated, the answer is the same place."""
    event = await quarantined(system)
    media_id = event.media.media_id
    async with connected(system) as services:
        first = await discard(event, context(services))
        assert await system.keys(media_id) == [f"quarantine/{media_id}"]
        again = await discard(event, context(services))
    assert first.moved_to is not None
    assert again.moved_to is not None
    assert first.moved_to.sha256 == event.object.sha256
    assert first.moved_to.key == again.moved_to.key
    assert await system.objects.get(first.moved_to) == TEXT


async def test_quarantine_after_promotion_removes_the_original(system: System) -> None:
    """A promoted file that is condemned keeps nothing in permanent/ and work/, wherever its bytes were."""
    event = await probed(system, TEXT)
    media_id = event.media.media_id
    condemned = Quarantined(media=event.media, object=event.object, identity=event.identity, verdict=event.verdict)
    async with connected(system) as services:
        promoted = await promote(event, context(services))
        await discard(promoted, context(services))
        await system.objects.put(f"work/{media_id}/plan/chunk-1", b"x", content_type="video/mp4")
        gone = await discard(condemned, context(services))
    assert await system.keys(media_id) == [f"quarantine/{media_id}"]
    assert {each.key.partition("/")[0] for each in gone.objects} == {"temp", "permanent", "work"}


@pytest.mark.parametrize("outcome", [Done, Skipped, Failed])
async def test_pieces_last_as_long_as_a_stream_may_come_of_them(system: System, outcome: type[MediaEvent]) -> None:
    """Once it is done or refused they go; of one that was given up a retry needs only what is missing."""
    media = (await probed(system, TEXT)).media
    identity = Identity(kind="video", content_type="video/mp4", extension="mp4")
    said = {
        "media": media,
        "identity": identity,
        "product": "stream",
        "products": ("stream",),
        "required": True,
        "code": "corrupt",
        "reason": "It is damaged.",
        "function": "encode_chunk",
        "error": "It broke.",
    }
    event = outcome.model_validate({name: said[name] for name in said if name in outcome.model_fields})
    piece = f"work/{media.media_id}/plan/chunk-1"
    async with connected(system) as services:
        await system.objects.put(piece, b"x", content_type="video/mp4")
        await discard(event, context(services))
    assert (piece in await system.keys(media.media_id)) == (outcome is Failed)


async def test_source_is_removed_before_its_copies(system: System) -> None:
    """When the first copy is removed the source is gone, so no promotion that comes again can copy it once more."""
    event = await probed(system, TEXT)
    media_id = event.media.media_id
    condemned = Quarantined(media=event.media, object=event.object, identity=event.identity, verdict=event.verdict)
    admin, left = admin_client(system.settings), list[int]()

    def look(point: str) -> None:
        if point == "discard.removed":
            key = temp_key(media_id)
            left.append(sum(1 for _ in admin.list_objects(system.settings.bucket, key, include_version=True)))

    async with connected(system) as services:
        await promote(event, context(services))
        failpoints.install(look)
        try:
            await discard(condemned, context(services))
        finally:
            failpoints.install(None)
    assert left == [0]


@pytest.mark.parametrize("other", [TEXT[::-1], b"longer than it was"])
async def test_condemned_bytes_that_were_replaced(system: System, other: bytes) -> None:
    """Where the version holds other bytes by now, those are kept and said to be what they are; nothing else is left."""
    event = await quarantined(system)
    media_id, version = event.media.media_id, event.object.version_id
    form = Presigner.downloads(system.settings).post_policy(
        temp_key(media_id), content_type="text/plain", least=0, most=100, expires=60
    )
    assert await system.send(replace(form, url=f"{form.url}?versionId={version}"), other) == 204
    async with connected(system) as services:
        said = await discard(event, context(services))
    assert await system.keys(media_id) == [f"quarantine/{media_id}"]
    assert said.moved_to is not None
    assert (said.moved_to.size, said.moved_to.sha256) == (len(other), hashlib.sha256(other).hexdigest())
    assert await system.objects.get(said.moved_to) == other


async def test_only_the_version_that_lost_is_removed(system: System) -> None:
    """Discarding an overwriting version leaves the winner where it is."""
    media_id, form = await system.request(TEXT, "text/plain", form=True)
    for body in (TEXT, TEXT[::-1]):
        assert await system.send(form, body) == 204
    loser, winner = [entry async for entry in system.objects.list_versions(f"temp/{media_id}")]
    event = await probed(system, TEXT)
    lost = ObjectRef(bucket=system.settings.bucket, key=loser.key, version_id=loser.version_id, size=loser.size)
    async with connected(system) as services:
        said = await discard(
            Overwritten(media=event.media, object=lost, winner=f"{winner.version_id}"), context(services)
        )
    assert said.part() == f"discard-{loser.version_id}"
    left = [entry.version_id async for entry in system.objects.list_versions(f"temp/{media_id}")]
    assert left == [winner.version_id]


async def test_rejected_twice(system: System) -> None:
    """What was rejected is removed; what is removed already is no error."""
    event = await probed(system, TEXT)
    rejected = Rejected(media=event.media, object=event.object, function="probe", code="corrupt", reason="Broken.")
    async with connected(system) as services:
        first = await discard(rejected, context(services))
        assert await discard(rejected, context(services)) == first
    assert await system.keys(event.media.media_id) == []


async def test_promotion_discards_the_source_alone(system: System) -> None:
    """After a promotion the temp version goes and the original stays."""
    event = await probed(system, TEXT)
    async with connected(system) as services:
        promoted = await promote(event, context(services))
        assert isinstance(promoted, Promoted)
        await discard(promoted, context(services))
    assert await system.keys(event.media.media_id) == [promoted.original.key]


async def test_deletion_removes_everything_and_names_some(system: System) -> None:
    """Every version in temp/, the original and all products are deleted; the event counts them and stays small."""
    event = await probed(system, TEXT)
    media_id = event.media.media_id
    async with connected(system) as services:
        await promote(event, context(services))
        for number in range(20):
            await system.objects.put(f"permanent/{media_id}/hls/{number}.m4s", b"x", content_type="video/mp4")
        said = await discard(Deleted(media=event.media, deleted_by="alice"), context(services))
    assert await system.keys(media_id) == []
    assert (said.count, len(said.objects)) == (22, MOST_NAMED_OBJECTS)
