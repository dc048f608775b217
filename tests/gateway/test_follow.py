import asyncio
import json
import time
from contextlib import aclosing

import pytest

from cli.client import Gateway
from cli.upload import follow
from gateway.follow import HEARTBEAT_SECONDS
from infra.local.threaded import ThreadedStack
from schemas.document import TERMINAL_STATES
from schemas.subjects import progress
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


async def test_live_events_come_at_once(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication wakes the client's stream: it doesn't wait for a look of its own."""
    monkeypatch.setattr("gateway.follow.RECHECK_SECONDS", 60.0)
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
    # The heartbeat would be the next occasion to look.
    assert max(delays) < HEARTBEAT_SECONDS / 3, delays


async def test_a_client_that_leaves_leaves_nothing_behind(gateway: Running) -> None:
    """After the last client is gone nothing is read and no task is left."""
    media_id = await gateway.requested()
    tail = gateway.services.tail
    before = asyncio.all_tasks()

    async def glance() -> None:
        async with aclosing(gateway.events(media_id)) as stream:
            assert (await anext(stream)).event == "requested"

    await asyncio.gather(*(glance() for _ in range(20)))
    await eventually(lambda: tail.idle, "the tail is idle")
    try:
        await eventually(lambda: len(asyncio.all_tasks() - before) <= 1, "tasks are gone")
    except AssertionError:
        pytest.fail(f"left: {asyncio.all_tasks() - before}")


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


async def say(gateway: Running, media_id: str, done: int, function: str = "scan") -> None:
    """What a function says while it works on a large file."""
    said = {"media_id": media_id, "function": function, "done": done, "total": 1000}
    await gateway.operator.signal(progress(media_id), json.dumps(said).encode())


async def talk(gateway: Running, media_id: str) -> None:
    """Progress, ten times a second, for ever."""
    done = 0
    while True:
        await say(gateway, media_id, done := done + 1)
        await asyncio.sleep(0.1)


async def test_progress_is_told_between_events(gateway: Running) -> None:
    """It comes to those who watch this media, without an id, so that resuming still means events; never after `end`."""
    media_id, other = await gateway.requested(), await gateway.requested()
    streams = [gateway.events(media_id), gateway.events(media_id), gateway.events(other)]
    firsts = [await anext(stream) for stream in streams]
    assert {event.event for event in firsts} == {"requested"}
    talking = asyncio.create_task(talk(gateway, media_id))
    story = await Story.of(gateway.operator, media_id)
    async with asyncio.timeout(20):
        for stream in streams[:2]:
            told = await anext(stream)
            assert (told.event, told.id) == ("progress", None)
            assert told.json == {"media_id": media_id, "function": "scan", "done": told.json["done"], "total": 1000}
        talking.cancel()
        await story.finish()
        rest = [event.event async for event in streams[0] if event.event != "progress"]
        await (await Story.of(gateway.operator, other)).reject()
        others = [event.event async for event in streams[2]]
    assert rest == [*WAY[1:], "end"]
    assert others == ["uploaded", "rejected", "end"]
    await streams[1].aclose()
    again = [event async for event in gateway.events(media_id, last=firsts[0].id)]
    assert [event.event for event in again] == [*WAY[1:], "end"]


async def test_progress_is_told_twice_a_second(gateway: Running) -> None:
    """However often functions speak, of each no more than two are told in a second, the newest, and one is not lost."""
    media_id = await gateway.requested()
    stream = gateway.events(media_id)
    await anext(stream)
    talking = asyncio.create_task(talk(gateway, media_id))
    times: list[float] = []
    done: list[int] = []
    async with asyncio.timeout(20):
        while len(times) < 5:
            told = await anext(stream)
            times.append(time.monotonic())
            done.append(told.json["done"])
        talking.cancel()
        await say(gateway, media_id, 999)
        await say(gateway, media_id, 1, "probe")
        last = [(await anext(stream)).json for _ in range(2)]
        while last[-1]["done"] != 999 and last[-2]["done"] != 999:
            last.append((await anext(stream)).json)
    assert times[4] - times[0] > 1.8
    assert done == sorted(set(done))
    assert {each["function"] for each in last} == {"scan", "probe"}
    await stream.aclose()


async def test_what_is_no_progress_is_not_told(gateway: Running) -> None:
    """Garbage on the subject neither ends the listening nor reaches anybody."""
    media_id = await gateway.requested()
    stream = gateway.events(media_id)
    await anext(stream)
    talking = asyncio.create_task(talk(gateway, media_id))
    async with asyncio.timeout(20):
        await anext(stream)
        for garbage in (b"", b"\xff", b"[]", b"1", b'{"function": "scan"}', b"null"):
            await gateway.operator.signal(progress(media_id), garbage)
        for _ in range(2):
            told = await anext(stream)
            assert (told.event, told.json["function"]) == ("progress", "scan")
    talking.cancel()
    await stream.aclose()


async def test_the_command_line_says_how_far_a_function_is(gateway: Running) -> None:
    """What `tidegate upload` shows beside a file: events and, between them, a function's per cent; then the outcome."""
    media_id = await gateway.requested()
    story = await Story.of(gateway.operator, media_id)
    shown: list[str] = []
    async with Gateway.at(gateway.url, gateway.token()) as client, asyncio.timeout(20):
        following = asyncio.create_task(follow(client, media_id, shown.append))
        while "scan 43 %" not in shown:
            await say(gateway, media_id, 437)
            await asyncio.sleep(0.05)
        await story.finish()
        assert (await following).state == "ready"
    assert [word for word in shown if "%" not in word] == WAY[: WAY.index("ready") + 1]
