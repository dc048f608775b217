"""`/v1/events`: everything a caller may see, as server-sent events and over a WebSocket, without loss."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest

from events.bus import BusDown, Stored
from gateway.connection import Connection
from gateway.subscriber import LARGEST_BACKLOG
from infra.local.threaded import ThreadedStack
from schemas.subjects import everything, progress
from tests.events.servers import eventually
from tests.gateway.conftest import running
from tests.gateway.running import Running, SentEvent, Story

WAY = ["requested", "uploaded", "identified", "scanned", "probed", "promoted", "ready", "discarded"]


class Stream:
    """An open stream of either sort."""

    def __init__(self, source: AsyncGenerator[SentEvent]) -> None:
        self._source = source
        self.place: int | None = None
        self._early: list[SentEvent] = []

    async def told(self, count: int, seconds: float = 10) -> list[SentEvent]:
        """The next events, places left out."""
        found, self._early = self._early, []
        async with asyncio.timeout(seconds):
            while len(found) < count:
                event = await anext(self._source)
                self.place = event.id or self.place
                if event.event:
                    found.append(event)
        return found

    async def begun(self) -> None:
        """Wait for the first place: from there on everything is told."""
        async with asyncio.timeout(10):
            while self.place is None:
                event = await anext(self._source)
                self.place = event.id
                self._early += [event] if event.event else []

    async def rest(self) -> list[SentEvent]:
        """Everything until the server ends it."""
        async with asyncio.timeout(20):
            return [event async for event in self._source if event.event]


async def frames(gateway: Running, token: str, query: str, headers: dict[str, str]) -> AsyncGenerator[SentEvent]:
    """Server-sent events, lone ids as events without a name."""
    sent = {"Authorization": f"Bearer {token}", **headers}
    async with gateway.http.get(f"{gateway.url}/v1/events?{query}", headers=sent) as response:
        assert response.status == 200, await response.text()
        fields: dict[str, str] = {}
        async for raw in response.content:
            if line := raw.decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
            else:
                if fields.keys() & {"id", "data"}:
                    number = int(fields["id"]) if "id" in fields else None
                    yield SentEvent(fields.get("event", ""), fields.get("data", ""), number)
                fields = {}


async def texts(gateway: Running, token: str, query: str, headers: dict[str, str]) -> AsyncGenerator[SentEvent]:
    """A WebSocket's messages; why it was closed as an event `end`."""
    url = f"{gateway.url}/v1/events?{query}"
    async with gateway.http.ws_connect(url, protocols=["bearer", token], headers=headers) as socket:
        assert socket.protocol == "bearer"
        async for message in socket:
            said = json.loads(message.data)
            yield SentEvent(said.get("event", ""), json.dumps(said.get("data")), said.get("id"))
        yield SentEvent("end", json.dumps({"reason": str(socket.close_code)}))


SORTS = pytest.mark.parametrize("sort", [frames, texts], ids=["sse", "websocket"])


@asynccontextmanager
async def following(
    gateway: Running, sort: Any, token: str = "", query: str = "", last: int | None = None
) -> AsyncGenerator[Stream]:
    """An open stream, left in the end."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with aclosing(sort(gateway, token or gateway.token(), query, headers)) as source:
        stream = Stream(source)
        await stream.begun()
        yield stream


async def finished(gateway: Running, **wish: Any) -> str:
    """A media on which everything happened."""
    media_id = await gateway.requested(**wish)
    await (await Story.of(gateway.operator, media_id)).finish()
    return media_id


async def sequences(gateway: Running, *media_ids: str) -> list[int]:
    """Of all events of some media in the stream."""
    return sorted(
        [one.sequence for media_id in media_ids for one in await gateway.operator.last("MEDIA", [everything(media_id)])]
    )


@SORTS
async def test_everything_is_told_to_those_who_may_see_it(gateway: Running, sort: Any) -> None:
    """The owner and the audience are told each event once, in order and under its id in MEDIA; nobody else anything."""
    alice, bob = gateway.token("alice", audiences=["team"]), gateway.token("bob", audiences=["team"])
    carol, uploader = gateway.token("carol", audiences=["others"]), gateway.token("bob", "upload", audiences=["team"])
    async with (
        following(gateway, sort, alice) as hers,
        following(gateway, sort, bob) as his,
        following(gateway, sort, carol) as others,
        following(gateway, sort, uploader) as own,
    ):
        shared = await finished(gateway, token=alice, audience=["team"])
        private = await finished(gateway, token=alice)
        last = await finished(gateway, token=bob)
        told = await hers.told(16)
        assert [event.event for event in told] == WAY * 2
        assert [event.id for event in told] == await sequences(gateway, shared, private)
        assert told[3].json["data"]["verdict"]["status"] == "clean"
        assert [event.json["subject"] for event in await his.told(16)] == [shared] * 8 + [last] * 8
        assert [event.json["subject"] for event in await own.told(8)] == [last] * 8
        theirs = await finished(gateway, token=carol)
        assert [event.json["subject"] for event in await others.told(8)] == [theirs] * 8


@SORTS
async def test_a_client_resumes_without_loss(gateway: Running, sort: Any) -> None:
    """Wherever it left, the rest comes once; ids are those of a media's own stream, and a lone id is one as well."""
    async with following(gateway, sort) as stream:
        first = await finished(gateway)
        told = await stream.told(3)
        begun = stream.place
    second = await finished(gateway)
    expected = await sequences(gateway, first, second)
    async with following(gateway, sort, last=told[-1].id) as stream:
        assert [event.id for event in await stream.told(13)] == expected[3:]
        third = await finished(gateway)
        assert [event.id for event in await stream.told(8)] == await sequences(gateway, third)
    one = [event.id async for event in gateway.events(second) if event.id]
    async with following(gateway, sort, query=f"last_event_id={one[0]}") as stream:
        assert [event.id for event in await stream.told(7)] == one[1:]
    assert begun is not None


async def test_the_first_place_is_before_anything_that_happens_later(gateway: Running) -> None:
    """A client that was cut off before it was told anything has an id to resume after."""
    async with following(gateway, frames) as stream:
        place = stream.place
    media_id = await finished(gateway)
    async with following(gateway, frames, last=place) as stream:
        assert [event.id for event in await stream.told(8)] == await sequences(gateway, media_id)


@SORTS
async def test_filters_narrow(gateway: Running, sort: Any) -> None:
    """By event and by kind, several of each; live and when resumed."""
    query = "event=ready&event=requested&event=scanned&kind=document"
    async with following(gateway, sort, query=query) as stream:
        place = stream.place
        await finished(gateway)
        assert [event.event for event in await stream.told(2)] == ["scanned", "ready"]
    async with following(gateway, sort, query=query, last=place) as stream:
        assert [event.event for event in await stream.told(2)] == ["scanned", "ready"]


@SORTS
async def test_progress_is_told_to_those_who_may_see_it(gateway: Running, sort: Any) -> None:
    """Without an id; also of a media of which no event came since the stream was opened."""
    old = await gateway.requested()
    async with following(gateway, sort) as hers, following(gateway, sort, gateway.token("bob")) as his:

        async def say(media_id: str) -> None:
            said = {"media_id": media_id, "function": "scan", "done": 1, "total": 2}
            await gateway.operator.signal(progress(media_id), json.dumps(said).encode())

        new = await gateway.requested()
        assert (await hers.told(1))[0].event == "requested"
        for media_id in (old, new):
            await say(media_id)
            (told,) = await hers.told(1)
            assert (told.event, told.id, told.json["media_id"]) == ("progress", None, media_id)
        his_own = await gateway.requested(token=gateway.token("bob"))
        assert (await his.told(1))[0].json["subject"] == his_own


@SORTS
async def test_a_stream_ends_with_its_token(gateway: Running, sort: Any) -> None:
    """Who may not ask any more isn't told any more, and is told that."""
    began = time.monotonic()
    async with following(gateway, sort, gateway.token(seconds=2)) as stream:
        (end,) = await stream.rest()
    assert (end.event, end.json["reason"]) == ("end", {frames: "token_expired", texts: "3000"}[sort])
    assert time.monotonic() - began < 4


@SORTS
async def test_streams_end_when_the_server_does(gateway: Running, sort: Any) -> None:
    """A shutdown ends open streams within a second and says so: the client comes again with its last id."""
    async with following(gateway, sort) as stream:
        began = time.monotonic()
        gateway.server.should_exit = True
        (end,) = await stream.rest()
        assert (end.event, end.json["reason"]) == ("end", {frames: "closing", texts: "1012"}[sort])
    assert time.monotonic() - began < 1.5


async def flood(gateway: Running) -> int:
    """More events than may wait for one client; how many."""
    context = {"a": "x" * 8000}
    count = 3 * LARGEST_BACKLOG // 8000
    for begin in range(0, count, 50):
        await asyncio.gather(*(gateway.requested(context=context) for _ in range(begin, min(begin + 50, count))))
    return count


def small_window(address: Any) -> socket.socket:
    """A connection of a client with little room for what it doesn't read."""
    made = socket.socket(address[0], address[1])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    return made


@SORTS
async def test_a_slow_client_is_disconnected_and_loses_nothing(gateway: Running, sort: Any) -> None:
    """Who doesn't read is cut off with a reason and costs no memory; resumed, everything comes once. Others go on."""
    connector = aiohttp.TCPConnector(socket_factory=small_window)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=32 * 1024) as http:
        slow = Running(gateway.app, gateway.server, gateway.settings, gateway.operator, http)
        async with following(slow, sort) as stalled, following(gateway, sort) as lively:
            reading = asyncio.create_task(lively.told(3 * LARGEST_BACKLOG // 8000, 60))
            count = await flood(gateway)
            told = await stalled.rest()
            assert {event.event for event in await reading} == {"requested"}
    assert (told[-1].event, told[-1].json["reason"]) == ("end", {frames: "slow", texts: "1013"}[sort])
    assert 0 < len(told) - 1 < count
    async with following(gateway, sort, last=told[-2].id) as stream:
        rest = await stream.told(count - len(told) + 1, 30)
    ids = [event.id for event in [*told[:-1], *rest]]
    assert len(set(ids)) == count
    assert ids == sorted(ids, key=lambda one: one or 0)


async def test_a_client_that_never_reads_is_cut_off(
    provisioned: ThreadedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection ends though it takes no word, so that neither connections nor what waits for them pile up."""
    monkeypatch.setattr("gateway.server.STALLED_SECONDS", 1)
    monkeypatch.setattr("gateway.events.FAREWELL_SECONDS", 0.1)
    monkeypatch.setattr("gateway.stream.LAST_WORD_SECONDS", 0.1)
    async with running(provisioned) as gateway:
        with small_window((socket.AF_INET, socket.SOCK_STREAM)) as made:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(made, gateway.server.servers[0].sockets[0].getsockname())
            request = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token()}\r\n\r\n"
            await loop.sock_sendall(made, request.encode())
            connections = cast("set[Connection]", gateway.server.server_state.connections)
            await eventually(lambda: not gateway.services.tail.idle, "it is subscribed")
            me = made.getsockname()
            assert me in {each.client for each in connections}
            await flood(gateway)
            await eventually(lambda: gateway.services.tail.idle, "it is not subscribed any more")
            await eventually(lambda: me not in {each.client for each in connections}, "its connection is gone")


async def test_a_stream_survives_nats(gateway: Running, provisioned: ThreadedStack) -> None:
    """NATS killed and started again: open streams go on, nothing is lost and nothing is told twice."""
    async with following(gateway, frames) as sse, following(gateway, texts) as websocket:
        before = await finished(gateway)
        await provisioned.nats.restart()
        await eventually(lambda: gateway.operator.connected, "the test is connected")
        after = await finished(gateway)
        expected = await sequences(gateway, before, after)
        for stream in (sse, websocket):
            assert [event.id for event in await stream.told(16, 30)] == expected


async def test_an_interrupted_reader_reads_what_it_missed(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the reader of EVENTS breaks and begins anew, subscribers read from MEDIA what happened in between."""
    bus = gateway.services.bus
    read, broken = bus.read, asyncio.Event()

    async def breaking(stream: str, subjects: Any, **more: Any) -> AsyncGenerator[Stored]:
        async for message in read(stream, subjects, **more):
            yield message
            if more.get("follow") and message.subject == "events.scanned.document" and not broken.is_set():
                broken.set()
                raise BusDown("interrupted")

    monkeypatch.setattr(bus, "read", breaking)
    monkeypatch.setattr("gateway.tail.RETRY_SECONDS", 0.5)
    async with following(gateway, frames) as sse, following(gateway, texts) as websocket:
        media_id = await finished(gateway)
        for stream in (sse, websocket):
            assert [event.id for event in await stream.told(8)] == await sequences(gateway, media_id)
    assert broken.is_set()


async def test_a_gap_is_told(gateway: Running) -> None:
    """An id that the stream has no more, or never had, is answered with `gap`, and what happens from now on."""
    gone = await gateway.requested()
    (stored,) = await gateway.operator.last("MEDIA", [everything(gone)])
    await gateway.operator.delete("MEDIA", stored.sequence)
    for sort in (frames, texts):
        for last in (stored.sequence, 2**62):
            async with following(gateway, sort, last=last) as stream:
                media_id = await gateway.requested()
                gap, event = await stream.told(2)
                assert (gap.event, event.json["subject"]) == ("gap", media_id)
                assert "GET /v1/media" in gap.json["detail"]


async def test_who_is_too_far_behind_lists_instead(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody makes a gateway read days of everybody's events: past a bound the rest is a gap."""
    monkeypatch.setattr("gateway.feed.LONGEST_WAY", 8)
    async with following(gateway, frames) as stream:
        place = stream.place
        await finished(gateway)
        assert len(await stream.told(8)) == 8
    async with following(gateway, frames, last=place) as stream:
        assert [event.event for event in await stream.told(8)] == WAY
    await gateway.requested()
    async with following(gateway, frames, last=place) as stream:
        assert [event.event for event in await stream.told(1)] == ["gap"]


async def test_who_may_not_is_told_why(gateway: Running) -> None:
    """A refusal of either sort is an HTTP answer with a problem; a token in the query is no token."""
    for path, headers, status in (
        ("", {"Authorization": ""}, 401),
        (f"?access_token={gateway.token()}", {}, 422),
        ("", {"Authorization": f"Bearer {gateway.token('alice', 'delete')}"}, 403),
        ("?kind=film", {}, 422),
        ("?event=a.b", {}, 422),
        ("?colour=red", {}, 422),
        ("", {"Last-Event-ID": "-1"}, 400),
        ("?last_event_id=x", {}, 400),
    ):
        sent = {"Authorization": f"Bearer {gateway.token()}", **headers}
        answer = await gateway.call("GET", f"/v1/events{path}", token="", headers=sent)
        assert (answer.status, answer.body["status"]) == (status, status), path
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await gateway.http.ws_connect(f"{gateway.url}/v1/events{path}", headers=sent)
        assert refused.value.status == status
        assert refused.value.headers is not None
        assert refused.value.headers["content-type"] == "application/problem+json"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await gateway.http.ws_connect(f"{gateway.url}/v1/events", protocols=["bearer", "nonsense"])
    assert refused.value.status == 401


async def test_a_socket_takes_a_header_and_minds_no_words(gateway: Running) -> None:
    """`Authorization` is enough where it can be sent; what a client says is ignored, and a lecture ends it."""
    headers = {"Authorization": f"Bearer {gateway.token()}"}
    async with gateway.http.ws_connect(f"{gateway.url}/v1/events", headers=headers) as websocket:
        assert websocket.protocol is None
        assert set(await websocket.receive_json()) == {"id"}
        await websocket.send_str("hello")
        media_id = await gateway.requested()
        assert (await websocket.receive_json())["data"]["subject"] == media_id
        await websocket.send_str("x" * 2000)
        assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert websocket.close_code == 1009


async def test_clients_that_leave_leave_nothing_behind(gateway: Running) -> None:
    """After the last one is gone nothing is read and no task is left."""
    tail = gateway.services.tail
    before = asyncio.all_tasks()

    async def glance(sort: Any) -> None:
        async with following(gateway, sort):
            pass

    await asyncio.gather(*(glance(sort) for sort in [frames, texts] * 10))
    await eventually(lambda: tail.idle, "the tail is idle")
    await eventually(lambda: len(asyncio.all_tasks() - before) <= 1, "tasks are gone")


async def test_without_nats_nothing_is_promised(gateway: Running, provisioned: ThreadedStack) -> None:
    """With NATS frozen a stream is a 503, not an open one that says nothing."""
    provisioned.nats.freeze()
    try:
        answer = await gateway.call("GET", "/v1/events")
    finally:
        provisioned.nats.thaw()
    assert answer.status == 503
