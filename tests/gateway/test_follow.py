import asyncio
import time
from contextlib import aclosing

from infra.local.threaded import ThreadedStack
from schemas.document import TERMINAL_STATES
from tests.events.servers import eventually
from tests.gateway.running import Running, SentEvent, Story

WAY = ["requested", "uploaded", "identified", "scanned", "probed", "promoted", "ready", "discarded"]


async def test_events_are_told_from_the_first_and_end_with_the_media(gateway: Running) -> None:
    """A client that connects at any time gets every event in order, live ones at once, then `end`."""
    media_id = await gateway.requested()
    story = await Story.of(gateway.operator, media_id)
    told: list[SentEvent] = []
    async with asyncio.timeout(15):
        async for event in gateway.events(media_id):
            told.append(event)
            if len(told) == 1:
                await story.finish()
    assert [event.event for event in told] == [*WAY, "end"]
    assert told[-1].json == {"media_id": media_id, "state": "ready"}
    ids = [event.id for event in told[:-1]]
    assert ids == sorted(ids, key=lambda one: one or 0)
    assert told[3].json["data"]["verdict"]["status"] == "clean"
    assert told[3].json["type"] == "tidegate.media.scanned.v1"


async def test_a_client_resumes_where_it_left(gateway: Running) -> None:
    """With Last-Event-ID only later events come; with the last one of a media that is over, 204 ends the client."""
    media_id = await gateway.requested()
    await (await Story.of(gateway.operator, media_id)).finish()
    first = [event async for event in gateway.events(media_id)]
    rest = [event async for event in gateway.events(media_id, last=first[2].id)]
    assert [event.event for event in rest] == [*WAY[3:], "end"]
    answer = await gateway.call("GET", f"/v1/media/{media_id}/events", headers={"Last-Event-ID": str(first[-2].id)})
    assert answer.status == 204
    answer = await gateway.call("GET", f"/v1/media/{media_id}/events", headers={"Last-Event-ID": "-1"})
    assert answer.status == 400


async def test_a_media_that_was_over_long_ago_ends_at_once(gateway: Running) -> None:
    """The quiet time counts from the last event, not from the connection."""
    media_id = await gateway.requested()
    await (await Story.of(gateway.operator, media_id)).finish()
    assert "ready" in TERMINAL_STATES
    async for _ in gateway.events(media_id):
        pass
    began = time.monotonic()
    assert [event.event async for event in gateway.events(media_id)][-1] == "end"
    assert time.monotonic() - began < 1


async def test_live_events_come_at_once(gateway: Running) -> None:
    """From the publication to the client it takes a fraction of the two seconds between two looks of its own."""
    media_id = await gateway.requested()
    story = await Story.of(gateway.operator, media_id)
    stream = gateway.events(media_id)
    assert (await anext(stream)).event == "requested"
    tail = gateway.services.tail
    await eventually(lambda: tail.following, "the tail follows")
    delays: list[float] = []
    for say, told in ((story.scan, 3), (story.promote, 2)):
        began = time.monotonic()
        await say()
        await anext(stream)
        delays.append(time.monotonic() - began)
        for _ in range(told - 1):
            await anext(stream)
    assert max(delays) < 0.7, delays


async def test_a_client_that_leaves_leaves_nothing_behind(gateway: Running) -> None:
    """After the last client is gone nothing is read and no task is left."""
    media_id = await gateway.requested()
    tail = gateway.services.tail
    before = len(asyncio.all_tasks())

    async def glance() -> None:
        async with aclosing(gateway.events(media_id)) as stream:
            assert (await anext(stream)).event == "requested"

    await asyncio.gather(*(glance() for _ in range(20)))
    await eventually(lambda: tail.idle, "the tail is idle")
    await eventually(lambda: len(asyncio.all_tasks()) <= before + 1, "tasks are gone")


async def test_streams_end_when_the_server_does(gateway: Running) -> None:
    """A shutdown ends open streams within a second, without `end`: the client comes again."""
    media_id = await gateway.requested()
    stream = gateway.events(media_id)
    assert (await anext(stream)).event == "requested"
    began = time.monotonic()
    gateway.server.should_exit = True
    assert [event async for event in stream] == []
    assert time.monotonic() - began < 1


async def test_a_stream_ends_with_its_token(gateway: Running) -> None:
    """Who may not ask any more isn't told any more."""
    media_id = await gateway.requested()
    began = time.monotonic()
    told = [event.event async for event in gateway.events(media_id, token=gateway.token(seconds=2))]
    assert told == ["requested"]
    assert time.monotonic() - began < 4


async def test_a_stream_survives_nats(gateway: Running, provisioned: ThreadedStack) -> None:
    """NATS killed and started again: the open stream goes on and nothing is told twice."""
    media_id = await gateway.requested()
    stream = gateway.events(media_id)
    assert (await anext(stream)).event == "requested"
    await provisioned.nats.restart()
    await eventually(lambda: gateway.operator.connected, "the test is connected")
    story = await Story.of(gateway.operator, media_id)
    await story.reject()
    async with asyncio.timeout(20):
        assert [event.event async for event in stream] == ["uploaded", "rejected", "end"]
