"""`sweep`: with every notification lost all files still arrive, what never came is said, what is stuck goes on."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils import uuid7

from cli.application import subject
from events.envelope import HEADERS, begin
from events.nats_api import api
from events.nats_link import Link
from events.registry import Tick
from functions.sweep import PAGE, sweep
from infra.bucket import provision_bucket
from infra.context import Context
from infra.local.threaded import ThreadedStack
from infra.presign import PresignedPut
from schemas.document import event_name
from schemas.events import Deleted
from schemas.media import Media
from schemas.notification import Notification
from schemas.subjects import everything, temp_key
from tests.functions.test_way_of_a_file import EICAR
from tests.samples.documents import unique_pdf
from tests.schemas.recording import broken
from tests.system import System, connected, context, poll, provisioned, working

TEXT = b"Nobody announced me."
AT_ONCE: dict[str, Any] = {"sweep_min_age_seconds": -1.0}
"""Objects are old enough as soon as they are there: their times are MinIO's, to the millisecond."""


@pytest.fixture
async def system(spare_stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where MinIO announces nothing and nobody works."""
    async with provisioned(spare_stack) as provided:
        await asyncio.to_thread(provision_bucket, provided.settings, notify=False)
        await _empty_temp(provided)
        yield provided
        await _empty_temp(provided)


async def _empty_temp(system: System) -> None:
    async for entry in system.objects.list_versions("temp/"):
        await system.objects.delete(entry.key, entry.version_id)


async def announced(ctx: Context) -> list[Any]:
    """What one pass of sweep says."""
    return [output async for output in sweep(Tick("sweep", 1), ctx)]


async def test_every_file_arrives_without_notifications(system: System) -> None:
    """Both targets off: each of 25 uploads ends as it should, overwriting forms and infected files included."""
    kinds: dict[str, list[str]] = {"ready": [], "rejected": [], "quarantined": [], "overwritten": []}
    for number in range(10):
        kinds["ready"].append(await system.upload(unique_pdf(number, 8_000)))
    for number in range(5):
        kinds["rejected"].append(await system.upload(b"\x7fELF" + bytes([number] * 99)))
        kinds["quarantined"].append(await system.upload(EICAR, "text/plain"))
        media_id, form = await system.request(TEXT, "text/plain", form=True)
        assert await system.send(form, TEXT) == 204
        assert await system.send(form, TEXT[::-1]) == 204
        kinds["overwritten"].append(media_id)
    assert await system.bus.last("MEDIA", [f"media.uploaded.*.*.{kinds['ready'][0]}.>"]) == []
    async with working(system, **AT_ONCE):
        await system.tick()
        for state, media_ids in kinds.items():
            for media_id in media_ids:
                await system.ended(media_id)
                expected = "ready" if state == "overwritten" else state
                await poll(lambda m=media_id, s=expected: _is(system, m, s))
        for media_id in kinds["overwritten"]:
            await system.happens(media_id, "overwritten")
        await poll(lambda: _temp_is_empty(system))


async def test_young_objects_are_left_to_their_notifications(system: System) -> None:
    """An object younger than the least age isn't announced yet; older, it is."""
    await system.upload(TEXT, "text/plain")
    async with connected(system, sweep_min_age_seconds=3600.0) as services:
        assert await announced(context(services)) == []
    async with connected(system, **AT_ONCE) as services:
        (said,) = await announced(context(services))
        assert isinstance(said, Notification)


async def test_object_from_the_future_is_found(system: System) -> None:
    """A client's header says when its object was stored and that nobody shall be told: it arrives all the same."""
    media_id, put = await system.request(TEXT, "text/plain")
    assert isinstance(put, PresignedPut)
    unsigned = {"X-Minio-Source-Replication-Request": "true", "X-Minio-Source-Mtime": "2099-01-01T00:00:00Z"}
    assert await system.send(replace(put, headers=put.headers | unsigned), TEXT) == 200
    (entry,) = [entry async for entry in system.objects.list_versions(temp_key(media_id))]
    assert entry.last_modified.year == 2099
    async with working(system, sweep_min_age_seconds=3600.0):
        await system.tick()
        await system.ended(media_id)
        await poll(lambda: _is(system, media_id, "ready"))
        await poll(lambda: _temp_is_empty(system))


async def test_request_that_never_came_is_abandoned_once(system: System) -> None:
    """A request whose URL expired long ago is abandoned, once; an upload that comes all the same gets in."""
    async with working(system, **AT_ONCE, abandoned_after_seconds=-3600.0):
        media_id, put = await system.request(TEXT, "text/plain")
        await system.tick()
        await system.happens(media_id, "abandoned")
        assert (await system.fold(media_id)).state() == "abandoned"
        await system.tick()
        assert await _count(system, media_id, "abandoned") == 1
        assert await system.send(put, TEXT) == 200
        await system.tick()
        await system.happens(media_id, "ready")
        assert (await system.fold(media_id)).state() == "ready"


@pytest.mark.parametrize("grown", [False, True])
async def test_stream_made_anew_is_read_from_its_beginning(system: System, *, grown: bool) -> None:
    """Places that were kept for a stream that is gone are noticed, whether the new one has grown beyond them or not."""
    async with connected(system, abandoned_after_seconds=-3600.0, **AT_ONCE) as services:
        ctx = context(services)
        for _ in range(3):
            await system.request(TEXT, "text/plain")
        await announced(ctx)
        kept = await services.cursors.get("sweep.requested")
        assert kept
        await _make_anew(system, "MEDIA", "EVENTS")
        wanted = [(await system.request(TEXT, "text/plain"))[0]]
        while grown and (await system.last(wanted[-1]))[0].sequence <= int(kept.partition(":")[0]):
            wanted.append((await system.request(TEXT, "text/plain"))[0])
        said = [output for output in await announced(ctx) if not isinstance(output, Notification)]
        assert [output.cause.subject for output in said] == wanted


async def test_unannounced_object_is_not_abandoned(system: System) -> None:
    """A request is not abandoned while its object lies in temp/, announced or not."""
    async with working(system, ["sweep"], sweep_min_age_seconds=3600.0, abandoned_after_seconds=-3600.0):
        media_id = await system.upload(TEXT, "text/plain")
        await system.tick()
        assert await _count(system, media_id, "abandoned") == 0
    async with working(system, **AT_ONCE):
        await system.tick()
        await system.happens(media_id, "ready")


async def test_lost_second_version_is_found(system: System) -> None:
    """A version whose notification was lost is announced though another version of its key is the media."""
    media_id, form = await system.request(TEXT, "text/plain", form=True)
    assert await system.send(form, TEXT) == 204
    async with working(system, **AT_ONCE):
        await system.tick()
        await system.ended(media_id)
        assert await system.send(form, TEXT[::-1]) == 204
        await system.tick()
        overwritten = await system.happens(media_id, "overwritten")
        assert overwritten["data"]["winner"] != overwritten["data"]["object"]["version_id"]
        await poll(lambda: _temp_is_empty(system))


async def test_more_versions_than_a_page(system: System) -> None:
    """However many versions a form made of one key, the oldest is the media and each other is discarded."""
    media_id, form = await system.request(TEXT, "text/plain", form=True)
    assert await system.send(form, TEXT) == 204
    for _ in range(0, PAGE + 20, 37):
        assert set(await asyncio.gather(*(system.send(form, b"Later: " + TEXT) for _ in range(37)))) == {204}
    async with working(system, **AT_ONCE):
        await system.tick()
        await system.happens(media_id, "ready")
        await poll(lambda: _temp_is_empty(system))
        events = await system.events(media_id)
        assert sum(event_name(event) == "uploaded" for event in events) == 1
        assert len({event["part"] for event in events if event_name(event) == "overwritten"}) > PAGE
        await poll(lambda: _is_recorded(system, media_id, "ready"))


async def test_foreign_object_is_rejected(system: System) -> None:
    """What lies in temp/ and nobody requested is rejected and removed, whatever its name."""
    names = ["temp/dots.and spaces", "temp/a/b", f"temp/{uuid7()}", "temp/*", "temp/>"]
    for name in names:
        await system.objects.put(name, TEXT, content_type="text/plain")
    async with working(system, **AT_ONCE):
        await system.tick()
        await poll(lambda: _temp_is_empty(system))


async def test_announced_is_not_announced_again(system: System) -> None:
    """Versions that the stream knows, whatever became of them, are silent."""
    media_id, form = await system.request(TEXT, "text/plain", form=True)
    assert await system.send(form, TEXT) == 204
    assert await system.send(form, TEXT[::-1]) == 204
    await system.objects.put(f"temp/{uuid7()}", TEXT, content_type="text/plain")
    async with connected(system, **AT_ONCE) as services:
        assert len(await announced(context(services))) == 3
        async with working(system, ["sweep", "receive"], **AT_ONCE):
            await system.tick()
            await system.happens(media_id, "overwritten")
            await poll(lambda: _silent(context(services)))


async def test_record_is_asked_when_the_stream_forgot(system: System) -> None:
    """A failed media keeps its object longer than the stream its events: it isn't announced as something new."""
    async with working(
        system, ["sweep", "receive", "identify", "record"], handlers={"identify": broken}, attempts=1, **AT_ONCE
    ):
        media_id = await system.upload(TEXT, "text/plain")
        await system.tick()
        await system.happens(media_id, "failed")
        await poll(lambda: _has_record(system, media_id))
    await _forget(system, media_id)
    async with connected(system, **AT_ONCE) as services:
        assert await announced(context(services)) == []


async def test_notification_of_what_the_stream_forgot(system: System) -> None:
    """An old notification that comes again, days later, is known by the record: nothing is said, nothing is foreign."""
    async with working(system, **AT_ONCE):
        media_id = await system.upload(TEXT, "text/plain")
        async with connected(system, **AT_ONCE) as services:
            (said,) = await announced(context(services))
        await system.tick()
        await system.ended(media_id)
        await poll(lambda: _is_recorded(system, media_id, "ready"))
        await _forget(system, media_id)
        await system.bus.publish("minio.durable", said.payload())
        await poll(lambda: _idle(system, "UPLOADS", "receive"))
        assert await system.events(media_id) == []
        await system.objects.put(temp_key(media_id), EICAR, content_type="text/plain")
        await system.tick()
        overwritten = await system.happens(media_id, "overwritten")
        assert overwritten["data"]["winner"] == said.version_id


@pytest.mark.parametrize("until", ["uploaded", "identified", "scanned", "probed", "promoted"])
async def test_stuck_media_is_given_back(system: System, until: str) -> None:
    """Whichever function's message was lost, an unfinished media goes on from there; once a period, not each pass."""
    way = {"uploaded": "receive", "identified": "identify", "scanned": "scan", "probed": "probe", "promoted": "promote"}
    names = list(way.values())[: list(way).index(until) + 1]
    async with working(system, ["sweep", *names], **AT_ONCE):
        media_id = await system.upload(TEXT, "text/plain")
        await system.tick()
        await system.happens(media_id, until)
    rest = {"identify", "scan", "probe", "promote", "finish", "discard", "record"} - set(names)
    await system.skip_pending(*rest)
    stuck_after = 0.05
    async with working(system, **AT_ONCE, stuck_after_seconds=stuck_after):
        await system.tick()
        await system.happens(media_id, "ready")


async def test_stuck_media_is_given_back_once_a_period(system: System) -> None:
    """Passes that follow within one period don't give the same media back again."""
    async with working(system, ["sweep", "receive"], **AT_ONCE):
        media_id = await system.upload(TEXT, "text/plain")
        await system.tick()
        await system.happens(media_id, "uploaded")
    # So long a period that two passes are in one, and everything is older than it.
    async with connected(system, stuck_after_seconds=-1e9, **AT_ONCE) as services:
        ctx = context(services)
        await services.cursors.put("sweep.stuck", "")
        first = [output for output in await announced(ctx) if not isinstance(output, Notification)]
        assert media_id in {invoke.envelope.subject for invoke in first}
        second = [output for output in await announced(ctx) if not isinstance(output, Notification)]
        assert media_id not in {invoke.envelope.subject for invoke in second}


@pytest.mark.parametrize("tombstone", ["deleted", "quarantined"])
async def test_what_stayed_behind_is_removed(system: System, tombstone: str) -> None:
    """A function that is killed while the media is removed leaves what it made: looked for once more, it is gone."""
    async with working(system, **AT_ONCE):
        if tombstone == "deleted":
            media_id = await system.upload(unique_pdf(1, 8_000))
            await system.tick()
            discarded = await system.happens(media_id, "discarded")
            media = Media.model_validate(discarded["data"]["media"])
            await system.say(discarded, Deleted(media=media, deleted_by="alice"), "gateway")
        else:
            media_id = await system.upload(EICAR, "text/plain")
            await system.tick()
        await system.happens(media_id, tombstone)
        await poll(lambda: _idle(system, "MEDIA", "discard"))
    left = [f"permanent/{media_id}/stream/seg-0.m4s", f"work/{media_id}/plan/chunk.mp4"]
    for key in left:
        await system.objects.put(key, b"late", content_type="video/mp4")
    async with working(system, ["sweep", "discard"], **AT_ONCE):
        await system.tick()
        await poll(lambda: _idle(system, "MEDIA", "discard"))
        assert set(left) <= set(await system.keys(media_id))
    async with working(system, ["sweep", "discard"], **AT_ONCE, stuck_after_seconds=-60):
        await system.tick()
        await poll(lambda: _nothing_left(system, media_id))


async def test_older_removal_that_was_stored_later(system: System) -> None:
    """Clocks differ: what was removed too recently to be looked at is looked at later, whatever follows it."""
    removed: list[str] = []
    for age in (timedelta(), timedelta(hours=2)):
        media_id = str(uuid7())
        now = datetime.now(UTC)
        known = {"owner": "alice", "filename": "file", "content_type": "text/plain", "size": 1}
        media = Media.model_validate({"media_id": media_id, "requested_at": now, **known})
        event = Deleted(media=media, deleted_by="alice")
        begun = begin(event, event_id=str(uuid7()), source="gateway", lane="standard")
        envelope = begun.model_copy(update={"time": now - age})
        await system.bus.publish(subject(event, envelope), envelope.encode(), headers=HEADERS)
        await system.objects.put(f"permanent/{media_id}/late.jpg", b"late", content_type="image/jpeg")
        removed.append(media_id)
    said: list[str] = []
    for patience in (3600, -60):
        async with connected(system, stuck_after_seconds=patience, sweep_min_age_seconds=3600.0) as services:
            said += [output.envelope.subject for output in await announced(context(services))]
    assert set(removed) <= set(said)


async def _nothing_left(system: System, media_id: str) -> bool:
    return not [key for key in await system.keys(media_id) if key.startswith(("permanent/", "work/"))]


async def test_pass_goes_on_where_it_stopped(system: System) -> None:
    """Killed in the middle, a pass goes on after the last page it finished, in another process."""
    keys = [f"temp/{number:04}" for number in range(2 * PAGE + 10)]
    for start in range(0, len(keys), 32):
        await asyncio.gather(
            *(system.objects.put(key, b"x", content_type="text/plain") for key in keys[start : start + 32])
        )
    said: list[str] = []
    async with connected(system, **AT_ONCE) as services:
        await services.cursors.put("sweep.temp", "")
        interrupted = sweep(Tick("sweep", 1), context(services))
        async for output in interrupted:
            said.append(output.key)
            if len(said) == PAGE + 5:
                break
        await interrupted.aclose()
    async with connected(system, **AT_ONCE) as services:
        rest = [output.key for output in await announced(context(services))]
        assert rest == keys[PAGE:]
        assert set(said) | set(rest) == set(keys)
        again = [output.key for output in await announced(context(services))]
        assert again == keys


async def _is(system: System, media_id: str, state: str) -> bool:
    return (await system.fold(media_id)).state() == state


async def _count(system: System, media_id: str, name: str) -> int:
    return sum(event_name(event) == name for event in await system.events(media_id))


async def _temp_is_empty(system: System) -> bool:
    return [entry async for entry in system.objects.list_versions("temp/")] == []


async def _silent(ctx: Context) -> bool:
    return await announced(ctx) == []


async def _has_record(system: System, media_id: str) -> bool:
    return await system.objects.head(f"records/{media_id}.json") is not None


async def _is_recorded(system: System, media_id: str, state: str) -> bool:
    return await _has_record(system, media_id) and (await system.fold(media_id)).state() == state


async def _idle(system: System, stream: str, function: str) -> bool:
    return any(
        state.name == function and not state.pending and not state.unacknowledged
        for state in await system.bus.state(stream)
    )


async def _make_anew(system: System, *streams: str) -> None:
    """Lose streams, and provision them again."""
    link = await Link.open(system.settings.nats_url, name="tests", on_closed=None, timeout=30)
    try:
        for stream in streams:
            await api(link, f"STREAM.DELETE.{stream}")
    finally:
        await link.aclose()
    async with provisioned(system.stack):
        pass


async def _forget(system: System, media_id: str) -> None:
    """Let the stream lose a media's events, as it does after its retention."""
    async for stored in system.bus.read("MEDIA", [everything(media_id)]):
        await system.bus.delete("MEDIA", stored.sequence)
