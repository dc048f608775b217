"""What happens to a subscription, a publisher and a drain when NATS or a client is killed, frozen or locked out."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from events import nats_link
from events.bus import BusClosed, BusDown, ConsumerSpec, StreamMissing, StreamSpec
from events.nats import NatsBus
from tests.events.contract import Reader, heard, publish, stream, unacknowledged, worker
from tests.events.servers import NatsServer, eventually, free_port

pytestmark = pytest.mark.faults


@pytest.fixture
def server(tmp_path: Path) -> Generator[NatsServer]:
    """A server of one's own; what it acknowledges is on disk."""
    running = NatsServer(tmp_path, users='{ user: other, password: "other", permissions: { publish: ["allowed.>"] } }')
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def bus(server: NatsServer) -> AsyncGenerator[NatsBus]:
    """A connection to it."""
    connected = await NatsBus.connect(server.url, name="tests")
    yield connected
    await connected.aclose()


CLIENT = """
import asyncio, sys
from events.nats import NatsBus

async def main():
    bus = await NatsBus.connect(sys.argv[1], name="killed")
    subscription = await bus.subscribe("S", "work", lambda message: print(message.sequence, flush=True))
    subscription.want(2)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_clients_messages_come_again(server: NatsServer, bus: NatsBus) -> None:
    """What a client had not acknowledged when it was killed goes to another after `ack_wait`, and is counted."""
    await bus.provision([stream("S")], [worker("S", ack_wait=2)])
    await publish(bus, "S", "a", "b", "c")
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, server.url, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert client.stdout
    assert [await client.stdout.readline() for _ in range(2)] == [b"1\n", b"2\n"]
    client.kill()
    await client.communicate()
    reader = await Reader.on(bus, "S", want=10)
    await (await reader.have(1))[0].ack()
    await reader.have(3)
    assert sorted((each.sequence, each.delivered) for each in reader.got) == [(1, 2), (2, 2), (3, 1)]
    await reader.drain()


async def test_a_frozen_server_strands_nothing_that_was_taken(
    server: NatsServer, bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes gives up on a frozen server; what it hands out when it goes on is delivered all the same, once."""
    monkeypatch.setattr("events.nats_take.ANSWER_SECONDS", 0.2)
    await bus.provision([stream("S")], [worker("S", ack_wait=60)])
    reader = await Reader.on(bus, "S")
    assert reader.subscription
    await publish(bus, "S", "a", "b", "c", "d")
    server.freeze()
    for _ in range(2):
        assert not await reader.subscription.take()
    assert reader.got == []
    server.thaw()
    await bus.alive()
    while await reader.subscription.take():
        pass
    await reader.have(4)
    assert sorted(reader.subjects) == ["a", "b", "c", "d"]
    assert {each.delivered for each in reader.got} == {1}
    server.kill()
    await eventually(lambda: not bus.connected, "disconnected")
    assert not await reader.subscription.take()
    server.start()
    await eventually(lambda: bus.connected, "connected")
    await publish(bus, "S", "e")
    # A killed server may have forgotten what it handed out.
    while await reader.subscription.take():
        pass
    assert "e" in reader.subjects
    await reader.drain()


async def test_a_subscription_survives_a_server_restart(server: NatsServer, bus: NatsBus) -> None:
    """After SIGKILL and a restart on the same store it goes on: nothing is lost, and credit is served exactly once."""
    await bus.provision([stream("S")], [worker("S", ack_wait=2)])
    reader = await Reader.on(bus, "S", want=3)
    await publish(bus, "S", "a", "b")
    for each in list(await reader.have(2)):
        await each.ack()
    for number in range(3):
        server.kill()
        await eventually(lambda: not bus.connected, "disconnected")
        assert reader.subscription
        assert not reader.subscription.bound
        reader.want(1)
        server.start()
        await eventually(lambda: bus.connected, "connected")
        await publish(bus, "S", *(f"{number}-{each}" for each in range(4)))
    # One slot was free, and three were granted while the server was away.
    await reader.have(6)
    await eventually(lambda: reader.subscription and reader.subscription.bound, "bound")
    await asyncio.sleep(1)
    assert len(reader.got) == 6, "more than the credit"
    for each in list(reader.got):
        await each.ack()
    reader.want(20)
    await eventually(lambda: len(set(reader.subjects)) == 14, "every message")
    for each in list(reader.got):
        await each.ack()
    assert await unacknowledged(bus, "S") == 0
    await reader.drain()


async def test_nothing_is_lost_between_racing_publishers_and_a_killed_server(server: NatsServer, bus: NatsBus) -> None:
    """Whoever retries a publish with its id until it is confirmed finds it stored once."""
    await bus.provision([stream("S")], [worker("S", ack_wait=1)])

    confirmed: list[int] = []
    refused: list[int] = []

    async def insist(begin: int) -> None:
        for number in range(begin, begin + 50):
            while number not in confirmed:
                try:
                    await bus.publish(f"S.{number}", b"", message_id=str(number), timeout=2)
                except BusDown:
                    refused.append(number)
                else:
                    confirmed.append(number)

    tasks = [asyncio.create_task(insist(begin)) for begin in range(0, 400, 50)]
    await eventually(lambda: len(confirmed) > 50, "the first confirmations")
    server.kill()
    server.start()
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks)
    assert refused, "the server was killed too late"
    stored = [each.subject async for each in bus.read("S", ["S.>"])]
    assert sorted(stored) == sorted(f"S.{number}" for number in range(400))


async def test_a_publish_without_a_server_fails_in_its_time(server: NatsServer, bus: NatsBus) -> None:
    """Disconnected, it waits for the server no longer than its timeout, and nothing of it is sent later."""
    await bus.provision([stream("S")], [])
    server.kill()
    await eventually(lambda: not bus.connected, "disconnected")
    begun = time.monotonic()
    with pytest.raises(BusDown):
        await bus.publish("S.a", b"", timeout=0.5)
    assert 0.4 < time.monotonic() - begun < 1.5
    with pytest.raises(BusDown):
        await bus.alive()
    waiting = asyncio.create_task(bus.publish("S.b", b"", timeout=10))
    server.start()
    assert (await waiting).sequence == 1


async def test_a_frozen_server_is_waited_for_no_longer_than_the_timeout(server: NatsServer, bus: NatsBus) -> None:
    """Frozen, publish raises BusDown in its timeout; thawed, everything goes on, and ids make the retry harmless."""
    await bus.provision([stream("S")], [worker("S")])
    reader = await Reader.on(bus, "S", want=2)
    server.freeze()
    begun = time.monotonic()
    with pytest.raises(BusDown):
        await bus.publish("S.a", b"", message_id="a", timeout=0.5)
    with pytest.raises(BusDown):
        await bus.alive()
    assert time.monotonic() - begun < 4
    server.thaw()
    assert (await bus.publish("S.a", b"", message_id="a")).sequence == 1
    await bus.publish("S.b", b"", message_id="b")
    assert [each.subject for each in await reader.have(2)] == ["S.a", "S.b"]
    await reader.drain()


async def test_a_server_that_stays_frozen_is_given_up(
    server: NatsServer, bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings go unanswered, the connection is made anew, and the subscription's credit is asked for once."""
    await bus.provision([stream("S")], [worker("S", ack_wait=1)])
    monkeypatch.setattr(nats_link, "PING_SECONDS", 0.3)
    impatient = await NatsBus.connect(server.url, name="impatient")
    reader = await Reader.on(impatient, "S", want=2)
    server.freeze()
    await eventually(lambda: not impatient.connected, "given up")
    server.thaw()
    await eventually(lambda: impatient.connected, "connected again")
    await publish(bus, "S", "a", "b", "c", "d")
    await eventually(lambda: len(reader.got) >= 2, "both slots")
    await asyncio.sleep(1)
    assert len(reader.got) == 2, "more than the credit"
    await reader.drain()
    await impatient.aclose()


async def test_refused_credentials_close_for_good(server: NatsServer) -> None:
    """When the server comes back and refuses the password, `on_closed` is told once and every call raises."""
    told: list[str] = []
    bus = await NatsBus.connect(server.url, name="tests", on_closed=told.append)
    await bus.provision([stream("S")], [worker("S")])
    reader = await Reader.on(bus, "S", want=1)
    server.kill()
    server.change_password()
    server.start()
    await eventually(lambda: told, "on_closed")
    assert len(told) == 1
    assert "authorization" in told[0].lower()
    assert reader.subscription
    assert not reader.subscription.bound
    with pytest.raises(BusClosed):
        await bus.publish("S.a", b"")
    await reader.drain()
    await bus.aclose()
    assert len(told) == 1


async def test_connecting_says_what_is_wrong(server: NatsServer) -> None:
    """Wrong credentials are BusClosed, nobody at the address is BusDown; a password is in neither sentence."""
    with pytest.raises(BusClosed, match="refuses user 'tester'") as refused:
        await NatsBus.connect(server.url_of("tester", "secret"), name="tests")
    assert "secret" not in str(refused.value)
    with pytest.raises(BusDown, match="can't be reached") as absent:
        await NatsBus.connect(f"nats://tester:secret@127.0.0.1:{free_port()}", name="tests", timeout=1)
    assert "secret" not in str(absent.value)
    server.freeze()
    with pytest.raises(BusDown):
        await NatsBus.connect(server.url, name="tests", timeout=1)


async def test_closing_on_purpose_tells_nobody(server: NatsServer) -> None:
    """`aclose` ends the connection without `on_closed`, also when the server is frozen."""
    told: list[str] = []
    bus = await NatsBus.connect(server.url, name="tests", on_closed=told.append)
    server.freeze()
    begun = time.monotonic()
    await bus.aclose()
    assert time.monotonic() - begun < 4
    assert told == []
    with pytest.raises(BusClosed):
        await bus.alive()


async def test_a_missing_right_is_named(server: NatsServer, bus: NatsBus) -> None:
    """A user who may not publish hears it at once, with subject and user, instead of running into a timeout."""
    await bus.provision([stream("S")], [])
    other = await NatsBus.connect(server.url_of("other", "other"), name="tests")
    begun = time.monotonic()
    with pytest.raises(BusDown, match=r"S\.a: NATS user 'other' may not"):
        await other.publish("S.a", b"")
    assert time.monotonic() - begun < 2
    await other.aclose()


async def test_a_drain_with_a_fetch_in_flight_strands_nothing(bus: NatsBus) -> None:
    """Drained while messages pour in, again and again: each message comes once, and none waits for `ack_wait`.

    What nats-server sends to an address that was just given up, it sends again at once to whoever asks next.
    """
    await bus.provision([stream("S")], [worker("S")])
    publishing = asyncio.create_task(publish(bus, "S", *(str(number) for number in range(300))))
    seen: list[str] = []
    while not publishing.done():
        reader = await Reader.on(bus, "S", want=20)
        await eventually(lambda reader=reader: reader.got or publishing.done(), "the first")
        await reader.drain()
        seen += reader.subjects
    assert len(seen) > 20
    last = await Reader.on(bus, "S", want=300)
    await last.have(300 - len(seen))
    assert sorted(int(subject) for subject in [*seen, *last.subjects]) == list(range(300))
    await last.drain()


async def test_a_drain_without_a_server_ends(server: NatsServer, bus: NatsBus) -> None:
    """It doesn't wait for a server that is away."""
    await bus.provision([stream("S")], [worker("S")])
    reader = await Reader.on(bus, "S", want=1)
    server.kill()
    await eventually(lambda: not bus.connected, "disconnected")
    async with asyncio.timeout(2):
        await reader.drain()


async def test_following_survives_a_server_restart(server: NatsServer, bus: NatsBus) -> None:
    """A reader goes on where it was, without a gap and without a repetition."""
    await bus.provision([stream("S")], [])
    await publish(bus, "S", "0", "1")
    seen: list[str] = []

    async def follow() -> None:
        async for each in bus.read("S", ["S.>"], follow=True):
            seen.append(each.data.decode())  # noqa: PERF401 # it never ends

    task = asyncio.create_task(follow())
    await eventually(lambda: len(seen) == 2, "what was there")
    server.kill()
    await eventually(lambda: not bus.connected, "disconnected")
    server.start()
    await publish(bus, "S", "2", "3")
    await eventually(lambda: len(seen) == 4, "what is new")
    assert seen == ["0", "1", "2", "3"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_slow_follower_loses_nothing(bus: NatsBus) -> None:
    """Flow control holds the server back; a reader that pauses gets everything in order."""
    await bus.provision([stream("S")], [])
    body = b"x" * 8192
    for begin in range(0, 1500, 100):
        await asyncio.gather(*(bus.publish(f"S.{number}", body) for number in range(begin, begin + 100)))
    seen: list[int] = []
    async with asyncio.timeout(20):
        async for each in bus.read("S", ["S.>"], follow=True):
            seen.append(each.sequence)
            if each.sequence % 100 == 0:
                await asyncio.sleep(0.01)
            if each.sequence == 1500:
                break
    assert seen == list(range(1, 1501))


async def test_no_stream_and_no_answer_are_told_apart(server: NatsServer, bus: NatsBus) -> None:
    """Nobody takes a subject: StreamMissing when JetStream knows no stream for it."""
    with pytest.raises(StreamMissing):
        await bus.publish("S.a", b"")
    await bus.provision([StreamSpec("S", ("S.>",), 60)], [ConsumerSpec("S", "work", ("S.>",))])
    assert (await bus.publish("S.a", b"")).sequence == 1


async def test_an_idle_subscription_keeps_its_place(bus: NatsBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests expire and are made again; what comes after many of them is delivered, once, to the credit there is."""
    monkeypatch.setattr("events.nats_pull.EXPIRES_SECONDS", 1)
    monkeypatch.setattr("events.nats_pull.ROUND_SECONDS", 0.5)
    await bus.provision([stream("S")], [worker("S")])
    reader = await Reader.on(bus, "S", want=2)
    for _ in range(15):
        reader.want(1)
        await asyncio.sleep(0.2)
    await publish(bus, "S", *(str(number) for number in range(30)))
    await reader.have(17)
    await asyncio.sleep(1.2)
    assert len(reader.got) == 17, "more than the credit"
    await reader.drain()


async def test_a_listener_survives_a_server_restart(server: NatsServer, bus: NatsBus) -> None:
    """After SIGKILL and a restart it hears what is said from then on; closed for good, it is told."""
    listener = bus.listen("S.*")
    await heard(bus, "S.before", listener)
    server.kill()
    server.start()
    await heard(bus, "S.after", listener)
    hearing = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    await bus.aclose()
    with pytest.raises(BusClosed):
        await hearing
