"""`receive`: one object for one media, whoever says it, how often, how late and in what order."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest
from minio.versioningconfig import SUSPENDED, VersioningConfig
from uuid_utils import uuid7

from events.registry import Because, First
from functions.receive import receive
from infra.bucket import admin_client
from infra.local.threaded import ThreadedStack
from schemas.document import CloudEvent, event_name
from schemas.events import Failed, Overwritten, Rejected, Uploaded
from schemas.notification import Notification
from schemas.subjects import temp_key
from tests.system import System, connected, context, poll, provisioned, working

TEXT = b"Once and only once."


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works yet."""
    async with provisioned(stack) as provided:
        yield provided


def notification(system: System, key: str, version_id: str | None = None, bucket: str = "") -> Notification:
    """What MinIO says of an object, by hand."""
    return Notification(
        bucket=bucket or system.settings.bucket,
        key=key,
        version_id=str(uuid4()) if version_id is None else version_id,
        size=len(TEXT),
        time=datetime.now(UTC),
    )


async def named(system: System, media_id: str, *names: str) -> list[CloudEvent]:
    """The events of these names."""
    return [event for event in await system.events(media_id) if event_name(event) in names]


async def all_received(system: System) -> None:
    """Wait until no notification waits any more."""

    async def idle() -> bool:
        return all(not state.pending and not state.unacknowledged for state in await system.bus.state("UPLOADS"))

    await poll(idle)


async def test_two_targets_make_one_event(system: System) -> None:
    """Both of MinIO's copies of a notification, and a flood of more, make one `uploaded`."""
    async with working(system, ["receive"]):
        media_id = await system.upload(TEXT, "text/plain")
        uploaded = await system.happens(media_id, "uploaded")
        version = uploaded["data"]["object"]["version_id"]
        again = notification(system, temp_key(media_id), version)
        await asyncio.gather(*(system.bus.publish("minio.fast", again.payload()) for _ in range(50)))
        # The durable copy is up to three seconds late.
        await poll(lambda: _told(system, version, 52))
        await all_received(system)
        assert await named(system, media_id, "uploaded", "overwritten", "rejected") == [uploaded]


async def test_racing_versions_have_one_winner(system: System) -> None:
    """Twenty versions announced at once and twice, on two machines: one is the media, each other lost once."""
    media_id, _ = await system.request(TEXT, "text/plain", form=True)
    told = [notification(system, temp_key(media_id)) for _ in range(20)]
    async with working(system, ["receive"]), working(system, ["receive"]):
        await asyncio.gather(
            *(system.bus.publish(f"minio.{target}", each.payload()) for each in told for target in ("fast", "durable"))
        )
        await poll(lambda: _count(system, media_id, 20))
        await all_received(system)
    (uploaded,) = await named(system, media_id, "uploaded")
    winner = uploaded["data"]["object"]["version_id"]
    overwritten = await named(system, media_id, "overwritten")
    losers = {event["data"]["object"]["version_id"] for event in overwritten}
    assert losers == {each.version_id for each in told} - {winner}
    assert {event["data"]["winner"] for event in overwritten} == {winner}
    assert len({event["id"] for event in overwritten}) == 19


async def test_what_the_gateway_knew_travels_on(system: System) -> None:
    """Owner, audience, file name and context of the request are in `uploaded`, which names it as its cause."""
    facts = {"audience": ("team",), "filename": "Grüße\n🌊.pdf", "context": {"message_id": "m", "n": 2**70}}
    async with working(system, ["receive"]):
        media_id = await system.upload(TEXT, "text/plain", **facts)
        uploaded = await system.happens(media_id, "uploaded")
    requested = await system.happens(media_id, "requested")
    assert uploaded["data"]["media"] == requested["data"]["media"]
    assert uploaded["causationid"] == requested["id"]
    assert uploaded["traceparent"].split("-")[1] == requested["traceparent"].split("-")[1]


async def test_other_bucket_is_ignored(system: System) -> None:
    """A notification of somebody else's bucket is no business of ours."""
    async with connected(system) as services:
        said = notification(system, f"temp/{uuid7()}", bucket="elsewhere")
        assert await receive(said, context(services)) is None


@pytest.mark.parametrize("key", ["temp/x", "temp/", "temp/a/b", "temp/*", "temp/>", "permanent/x", "temp/é 🌊.pdf"])
async def test_foreign_keys_are_rejected(system: System, key: str) -> None:
    """Whatever isn't under the key of a media is foreign, with an id of its own for each key."""
    async with connected(system) as services:
        rejected = await receive(notification(system, key), context(services))
        again = await receive(notification(system, key), context(services))
    assert isinstance(rejected, Rejected)
    assert isinstance(again, Rejected)
    assert (rejected.code, rejected.media.media_id) == ("foreign", again.media.media_id)
    assert rejected.media.owner is None


async def test_unrequested_media_is_foreign(system: System) -> None:
    """A key that looks like a media's, which nobody requested, is foreign."""
    async with connected(system) as services:
        media_id = str(uuid7())
        rejected = await receive(notification(system, temp_key(media_id)), context(services))
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.media.media_id) == ("foreign", media_id)


async def test_object_without_version_is_refused(system: System) -> None:
    """Where the bucket keeps no versions nothing can be pinned: the media fails, and says what to do."""
    media_id, _ = await system.request(TEXT, "text/plain")
    async with connected(system) as services:
        answer = await receive(notification(system, temp_key(media_id), ""), context(services))
    failed = cast("Because[Failed]", answer).event
    assert failed.code == "unversioned"
    assert "tidegate provision" in failed.error


async def test_first_is_expected_to_be_first(system: System) -> None:
    """`uploaded` asks the stream to hold none yet; refused, the loser looks who won."""
    media_id, _ = await system.request(TEXT, "text/plain")
    one, two = (notification(system, temp_key(media_id)) for _ in range(2))
    async with connected(system) as services:
        first = cast("First[Because[Uploaded]]", await receive(one, context(services)))
        second = cast("First[Because[Uploaded]]", await receive(two, context(services)))
        assert first.event.event.object.version_id == one.version_id
        async with working(system, ["receive"]):
            await system.bus.publish("minio.fast", one.payload())
            await system.happens(media_id, "uploaded")
        assert await first.otherwise() is None
        lost: Because[Overwritten] = await second.otherwise()
        assert (lost.event.winner, lost.event.object.version_id) == (one.version_id, two.version_id)


async def test_bucket_that_lost_its_versions_promotes_nothing(spare_stack: ThreadedStack) -> None:
    """With versioning suspended behind our back, an upload fails instead of coming in unpinned, once."""
    async with provisioned(spare_stack) as system:
        await asyncio.to_thread(_suspend, system)
        async with working(system, sweep_min_age_seconds=-1.0):
            media_id = await system.upload(TEXT, "text/plain")
            failed = await system.happens(media_id, "failed")
            assert failed["data"]["code"] == "unversioned"
            await system.tick()
            await all_received(system)
            assert {event["id"] for event in await named(system, media_id, "failed")} == {failed["id"]}
            assert await named(system, media_id, "uploaded", "promoted", "rejected") == []
        await system.objects.delete(temp_key(media_id), "null")


def _suspend(system: System) -> None:

    admin_client(system.settings).set_bucket_versioning(system.settings.bucket, VersioningConfig(SUSPENDED))


async def _told(system: System, version: str, times: int) -> bool:
    said = [stored async for stored in system.bus.read("UPLOADS", ["minio.>"]) if version.encode() in stored.data]
    return len(said) >= times


async def _count(system: System, media_id: str, count: int) -> bool:
    return len({event["id"] for event in await named(system, media_id, "uploaded", "overwritten")}) >= count
