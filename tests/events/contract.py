"""What `events.bus` promises, one sentence a function; run against the bus in memory and against NATS.

Each takes a bus of its own, or a name of its own on a shared server. `promise` collects them in `CONTRACT`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import pytest

from events.bus import (
    BucketSpec,
    Bus,
    BusDown,
    ConsumerSpec,
    Expect,
    Message,
    Published,
    Source,
    StreamMissing,
    StreamSpec,
    Subscription,
    WrongLastSequence,
)
from tests.events.servers import eventually

ACK_WAIT = 0.6
# Timers of the server and of a busy machine are this exact.
TOLERANCE = 0.1

Promise = Callable[[Bus, str], Awaitable[None]]
CONTRACT: list[Promise] = []


def promise(function: Promise) -> Promise:
    """Add to the contract."""
    CONTRACT.append(function)
    return function


class Reader:
    """A subscription that keeps what it gets, and when."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.times: list[float] = []
        self.subscription: Subscription | None = None

    @classmethod
    async def on(cls, bus: Bus, name: str, *, want: int = 0) -> "Reader":
        """Subscribe to the consumer `work` of the stream `name`."""
        reader = cls()
        reader.subscription = await bus.subscribe(name, "work", reader._take)
        reader.want(want)
        return reader

    def _take(self, message: Message) -> None:
        self.got.append(message)
        self.times.append(time.monotonic())

    def want(self, count: int) -> None:
        """Grant credit."""
        assert self.subscription
        self.subscription.want(count)

    async def have(self, count: int) -> list[Message]:
        """Wait until so many have come; more are too many."""
        await eventually(lambda: len(self.got) >= count, f"{count} messages, {len(self.got)} there", seconds=8)
        assert len(self.got) == count, "more arrived than were expected"
        return self.got

    async def drain(self) -> None:
        """End the subscription."""
        assert self.subscription
        await self.subscription.drain()

    @property
    def subjects(self) -> list[str]:
        """What came, by the last token of the subject."""
        return [each.subject.rpartition(".")[2] for each in self.got]


def stream(name: str, *, max_per_subject: int = 0, window: float = 120.0) -> StreamSpec:
    """A stream on `<name>.>`."""
    return StreamSpec(name, (f"{name}.>",), 3600, max_per_subject=max_per_subject, duplicate_window=window)


def worker(name: str, *subjects: str, ack_wait: float = 30.0, max_ack_pending: int = 1000) -> ConsumerSpec:
    """The consumer `work` of a stream."""
    return ConsumerSpec(name, "work", subjects or (f"{name}.>",), ack_wait, max_ack_pending)


async def publish(bus: Bus, name: str, *tokens: str) -> list[Published]:
    """One message for each token, in this order."""
    return [await bus.publish(f"{name}.{token}", token.encode()) for token in tokens]


async def unacknowledged(bus: Bus, name: str) -> int:
    """How many deliveries of `work` wait for an acknowledgement."""
    return (await bus.state(name))[0].unacknowledged


@promise
async def a_message_is_delivered_as_it_was_published(bus: Bus, name: str) -> None:
    """Subject, data and headers arrive; the sequence is the stream's and the first delivery is number 1."""
    await bus.provision([stream(name)], [worker(name)])
    reader = await Reader.on(bus, name, want=1)
    headers = {"Content-Type": "text/plain", "traceparent": "00-é"}
    stored = await bus.publish(f"{name}.a", b"\x00data", message_id="id", headers=headers)
    assert stored == Published(name, 1)
    message = (await reader.have(1))[0]
    assert (message.subject, message.data, message.sequence, message.delivered) == (f"{name}.a", b"\x00data", 1, 1)
    assert message.headers == {**headers, "Nats-Msg-Id": "id"}
    await reader.drain()


@promise
async def a_message_id_is_stored_once_whatever_the_subject(bus: Bus, name: str) -> None:
    """Within the duplicate window a known id stores nothing, on another subject as well."""
    await bus.provision([stream(name)], [])
    assert await bus.publish(f"{name}.a", b"1", message_id="id") == Published(name, 1)
    assert await bus.publish(f"{name}.a", b"2", message_id="id") == Published(name, 1, duplicate=True)
    assert await bus.publish(f"{name}.b", b"3", message_id="id") == Published(name, 1, duplicate=True)
    assert await bus.publish(f"{name}.b", b"4", message_id="other") == Published(name, 2)
    assert await bus.publish(f"{name}.b", b"5") == Published(name, 3)


@promise
async def a_message_id_is_forgotten_after_the_window(bus: Bus, name: str) -> None:
    """After the duplicate window the same id is stored again."""
    await bus.provision([stream(name, window=0.5)], [])
    begun = time.monotonic()
    await bus.publish(f"{name}.a", b"", message_id="id")
    while (await bus.publish(f"{name}.a", b"", message_id="id")).duplicate:
        assert time.monotonic() < begun + 5
        await asyncio.sleep(0.02)
    assert time.monotonic() > begun + 0.5 - TOLERANCE


@promise
async def an_expectation_that_does_not_hold_stores_nothing(bus: Bus, name: str) -> None:
    """`Expect` compares the last sequence on its subject, with wildcards, and before the message id."""
    await bus.provision([stream(name)], [])
    await bus.publish(f"{name}.x.1", b"", message_id="first", expect=Expect(f"{name}.*.1"))
    with pytest.raises(WrongLastSequence):
        await bus.publish(f"{name}.y.1", b"", expect=Expect(f"{name}.*.1"))
    with pytest.raises(WrongLastSequence):
        await bus.publish(f"{name}.x.1", b"", message_id="first", expect=Expect(f"{name}.>"))
    assert await bus.publish(f"{name}.y.2", b"", expect=Expect(f"{name}.*.2")) == Published(name, 2)
    assert await bus.publish(f"{name}.y.1", b"", expect=Expect(f"{name}.*.1", 1)) == Published(name, 3)


@promise
async def of_many_racing_publishers_one_wins(bus: Bus, name: str) -> None:
    """Of 50 at once that expect no message, one stores; the others hear that they were not first."""
    await bus.provision([stream(name)], [])
    results = await asyncio.gather(
        *(bus.publish(f"{name}.{number}.id", b"", expect=Expect(f"{name}.*.id")) for number in range(50)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Published) for result in results) == 1
    assert sum(isinstance(result, WrongLastSequence) for result in results) == 49


@promise
async def a_subject_without_a_stream_is_refused(bus: Bus, name: str) -> None:
    """Publishing what no stream takes raises, and so does asking a stream that does not exist."""
    with pytest.raises(StreamMissing):
        await bus.publish(f"{name}.a", b"")
    with pytest.raises(StreamMissing):
        await bus.last(name, [">"])
    with pytest.raises(StreamMissing):
        await bus.state(name)


@promise
async def what_is_acknowledged_does_not_come_again(bus: Bus, name: str) -> None:
    """Of two deliveries the one without an acknowledgement comes again after `ack_wait`, the other never."""
    await bus.provision([stream(name)], [worker(name, ack_wait=ACK_WAIT)])
    reader = await Reader.on(bus, name, want=10)
    await publish(bus, name, "acked", "forgotten")
    await (await reader.have(2))[0].ack()
    again = (await reader.have(3))[2]
    assert (again.data, again.delivered, again.sequence) == (b"forgotten", 2, 2)
    assert reader.times[2] - reader.times[1] > ACK_WAIT - TOLERANCE
    await again.ack()
    assert await unacknowledged(bus, name) == 0
    await reader.drain()


@promise
async def a_confirmed_acknowledgement_confirms_those_before_it(bus: Bus, name: str) -> None:
    """Acknowledgements of one consumer are taken in order."""
    await bus.provision([stream(name)], [worker(name)])
    reader = await Reader.on(bus, name, want=10)
    await publish(bus, name, *(str(number) for number in range(10)))
    *others, last = await reader.have(10)
    for each in others:
        await each.ack(confirmed=False)
    await last.ack()
    assert await unacknowledged(bus, name) == 0
    await reader.drain()


@promise
async def a_nak_brings_the_message_again(bus: Bus, name: str) -> None:
    """Without a delay it comes at once, and is counted."""
    await bus.provision([stream(name)], [worker(name)])
    reader = await Reader.on(bus, name, want=3)
    await publish(bus, name, "a")
    await (await reader.have(1))[0].nak()
    await (await reader.have(2))[1].nak()
    assert [each.delivered for each in await reader.have(3)] == [1, 2, 3]
    assert reader.times[2] - reader.times[0] < 2
    await reader.drain()


@promise
async def a_delayed_nak_comes_after_its_delay(bus: Bus, name: str) -> None:
    """Not earlier, also when `ack_wait` is shorter than the delay; others come meanwhile."""
    await bus.provision([stream(name)], [worker(name, ack_wait=ACK_WAIT)])
    reader = await Reader.on(bus, name, want=10)
    await publish(bus, name, "late")
    asked = time.monotonic()
    await (await reader.have(1))[0].nak(2 * ACK_WAIT)
    await publish(bus, name, "meanwhile")
    await (await reader.have(2))[1].ack()
    await reader.have(3)
    assert reader.subjects == ["late", "meanwhile", "late"]
    assert 2 * ACK_WAIT - TOLERANCE < reader.times[2] - asked < 2 * ACK_WAIT + 2
    await reader.drain()


@promise
async def a_heartbeat_restarts_the_wait(bus: Bus, name: str) -> None:
    """A delivery comes again `ack_wait` after its last heartbeat, not after its start."""
    await bus.provision([stream(name)], [worker(name, ack_wait=ACK_WAIT)])
    reader = await Reader.on(bus, name, want=10)
    await publish(bus, name, "a")
    message = (await reader.have(1))[0]
    last = 0.0
    for _ in range(6):
        await asyncio.sleep(ACK_WAIT / 3)
        await message.in_progress()
        last = time.monotonic()
    assert (await reader.have(2))[1].delivered == 2
    assert reader.times[1] - last > ACK_WAIT - TOLERANCE
    await reader.drain()


@promise
async def no_more_are_unacknowledged_than_allowed(bus: Bus, name: str) -> None:
    """`max_ack_pending` stops new messages, and what waits for a nak's delay counts: failures starve the others."""
    await bus.provision([stream(name)], [worker(name, max_ack_pending=2)])
    reader = await Reader.on(bus, name, want=10)
    await publish(bus, name, "a", "b", "starved")
    for each in list(await reader.have(2)):
        await each.nak(0.7)
    again = (await reader.have(4))[2:]
    assert reader.subjects == ["a", "b", "a", "b"]
    await again[0].ack()
    await reader.have(5)
    assert reader.subjects[4] == "starved"
    await reader.drain()


@promise
async def no_more_arrive_than_were_asked_for(bus: Bus, name: str) -> None:
    """Credit bounds deliveries, first ones and repeated ones; what was asked for stays asked for."""
    await bus.provision([stream(name)], [worker(name, ack_wait=ACK_WAIT)])
    first = await Reader.on(bus, name, want=2)
    second = await Reader.on(bus, name)
    await publish(bus, name, "a", "b", "c", "d")
    await first.have(2)
    for each in list(first.got):
        await each.ack()
    second.want(1)
    assert (await second.have(1))[0].data == b"c"
    # Its wait runs out while nobody has credit.
    await asyncio.sleep(ACK_WAIT + TOLERANCE)
    assert (len(first.got), len(second.got)) == (2, 1)
    first.want(1)
    first.want(1)
    await first.have(4)
    assert sorted(first.subjects) == ["a", "b", "c", "d"]
    await first.drain()
    await second.drain()


@promise
async def what_is_there_can_be_taken(bus: Bus, name: str) -> None:
    """`take` delivers one message that is there, a returned one as well, and says at once when there is none."""
    await bus.provision([stream(name)], [worker(name)])
    reader = await Reader.on(bus, name)
    assert reader.subscription
    assert not await reader.subscription.take()
    await publish(bus, name, "a", "b")
    begun = time.monotonic()
    assert await reader.subscription.take()
    assert reader.subjects == ["a"]
    assert await reader.subscription.take()
    assert not await reader.subscription.take()
    await reader.got[0].nak()
    await reader.got[1].ack()
    assert await reader.subscription.take()
    assert [(each.data, each.delivered) for each in reader.got] == [(b"a", 1), (b"b", 1), (b"a", 2)]
    assert not await reader.subscription.take()
    assert time.monotonic() - begun < 0.9, "it waited for a message"
    # What was not there is not asked for any more.
    await publish(bus, name, "c")
    await bus.alive()
    await reader.have(3)
    assert await unacknowledged(bus, name) == 1
    await reader.drain()


@promise
async def takers_share_what_is_there(bus: Bus, name: str) -> None:
    """Whoever takes at the same time, each message goes to one of them, and nobody hangs who finds nothing left."""
    await bus.provision([stream(name)], [worker(name)])
    await publish(bus, name, *(str(number) for number in range(20)))
    readers = [await Reader.on(bus, name) for _ in range(4)]

    async def empty(reader: Reader) -> None:
        assert reader.subscription
        while await reader.subscription.take():
            pass

    async with asyncio.timeout(8):
        await asyncio.gather(*(empty(each) for each in readers))
    assert sorted(int(subject) for each in readers for subject in each.subjects) == list(range(20))
    for each in readers:
        await each.drain()


@promise
async def what_was_asked_for_can_be_taken_back(bus: Bus, name: str) -> None:
    """After `recall` nothing arrives until it is asked for again; whatever came before it returned was handed over."""
    await bus.provision([stream(name)], [worker(name)])
    busy, idle = await Reader.on(bus, name, want=3), await Reader.on(bus, name)
    assert busy.subscription
    await publish(bus, name, "a")
    await busy.have(1)
    await busy.subscription.recall()
    await publish(bus, name, "b", "c")
    await bus.alive()
    assert busy.subjects == ["a"]
    idle.want(2)
    await idle.have(2)
    busy.want(1)
    await publish(bus, name, "d", "e")
    await busy.have(2)
    assert (busy.subjects, idle.subjects) == (["a", "d"], ["b", "c"])
    await busy.subscription.recall()
    assert await busy.subscription.take()
    assert busy.subjects == ["a", "d", "e"]
    assert {each.delivered for each in [*busy.got, *idle.got]} == {1}
    await busy.drain()
    await idle.drain()


@promise
async def a_recall_strands_nothing(bus: Bus, name: str) -> None:
    """A message that is published while what would fetch it is taken back comes once, or stays for others.

    Its count may be higher: nats-server sends to an address that was just given up, finds nobody, and at once sends
    the message again.
    """
    await bus.provision([stream(name)], [worker(name)])
    reader = await Reader.on(bus, name)
    assert reader.subscription
    for number in range(40):
        reader.want(1)
        for _ in range(number % 8):
            await asyncio.sleep(0)
        await asyncio.gather(publish(bus, name, str(number)), reader.subscription.recall())
    begun = time.monotonic()
    while len(reader.got) < 40 and time.monotonic() < begun + 2:
        await reader.subscription.take()
    assert sorted(int(subject) for subject in reader.subjects) == list(range(40))
    await reader.drain()


@promise
async def credit_waits_for_messages_to_come(bus: Bus, name: str) -> None:
    """Slots granted one by one, before there is anything, are all served."""
    await bus.provision([stream(name)], [worker(name)])
    reader = await Reader.on(bus, name)
    for _ in range(5):
        reader.want(1)
        await asyncio.sleep(0.01)
    await publish(bus, name, "a", "b", "c", "d", "e", "f")
    await reader.have(5)
    for each in list(reader.got):
        await each.ack()
    reader.want(1)
    assert [each.data for each in await reader.have(6)] == [b"a", b"b", b"c", b"d", b"e", b"f"]
    await reader.drain()


@promise
async def subscriptions_share_the_work(bus: Bus, name: str) -> None:
    """Each message goes to one of those bound to a consumer."""
    await bus.provision([stream(name)], [worker(name)])
    readers = [await Reader.on(bus, name, want=50) for _ in range(2)]
    await publish(bus, name, *(str(number) for number in range(20)))
    await eventually(lambda: sum(len(each.got) for each in readers) >= 20)
    assert sorted(int(subject) for each in readers for subject in each.subjects) == list(range(20))
    for each in readers:
        await each.drain()


@promise
async def a_drain_strands_nothing(bus: Bus, name: str) -> None:
    """Whatever was delivered by the time a drain ends was handed over; nothing comes afterwards.

    What is left comes to whoever asks next, long before `ack_wait` is over. Until then nats-server may take some of it
    for delivered and not acknowledged, and its count may be higher, as after a recall.
    """
    await bus.provision([stream(name)], [worker(name)])
    await publish(bus, name, *(str(number) for number in range(30)))
    drained: list[Reader] = []
    for pause in (0, 1, 3, 10):
        reader = await Reader.on(bus, name, want=5)
        for _ in range(pause):
            await asyncio.sleep(0)
        await reader.drain()
        drained.append(reader)
    got = sum(len(each.got) for each in drained)
    other = await Reader.on(bus, name, want=30)
    rest = await other.have(30 - got)
    assert len({each.sequence for each in rest}) == 30 - got
    for each in [message for reader in drained for message in reader.got]:
        await each.nak()
    await other.have(30)
    assert sum(len(each.got) for each in drained) == got
    await other.drain()


@promise
async def a_new_consumer_starts_at_new_messages(bus: Bus, name: str) -> None:
    """What was published before it was made is not for it; its filters choose among the rest."""
    await bus.provision([stream(name)], [])
    await publish(bus, name, "a.old")
    await bus.provision([stream(name)], [worker(name, f"{name}.a.*", f"{name}.b.>")])
    reader = await Reader.on(bus, name, want=10)
    await publish(bus, name, "a.1", "c.1", "b.1.2", "a.1.2", "b.2")
    assert [each.data for each in await reader.have(3)] == [b"a.1", b"b.1.2", b"b.2"]
    await reader.drain()


@promise
async def the_last_message_of_each_subject_is_known(bus: Bus, name: str) -> None:
    """`last` takes wildcards and several subjects, and answers in order of sequence; nothing is nothing."""
    await bus.provision([stream(name)], [])
    await publish(bus, name, "a.1", "b.1", "a.1", "a.2", "c.1")
    found = await bus.last(name, [f"{name}.a.*", f"{name}.b.1"])
    assert [(each.subject, each.sequence) for each in found] == [
        (f"{name}.b.1", 2),
        (f"{name}.a.1", 3),
        (f"{name}.a.2", 4),
    ]
    assert await bus.last(name, [f"{name}.a.3", f"{name}.d.>"]) == []


@promise
async def too_many_last_messages_are_refused(bus: Bus, name: str) -> None:
    """More than 1,024 matching subjects is the caller's mistake."""
    await bus.provision([stream(name)], [])
    for begin in range(0, 1025, 205):
        await asyncio.gather(*(publish(bus, name, str(number)) for number in range(begin, begin + 205)))
    with pytest.raises(ValueError, match=r"1,024"):
        await bus.last(name, [f"{name}.*"])


@promise
async def a_stream_is_read_in_order(bus: Bus, name: str) -> None:
    """`read` gives each matching message once from a sequence on, whatever the number of filters, and ends."""
    await bus.provision([stream(name)], [])
    for begin in range(0, 600, 100):
        await asyncio.gather(*(publish(bus, name, f"{'ab'[number % 2]}.x") for number in range(begin, begin + 100)))
    everything = [each.sequence async for each in bus.read(name, [f"{name}.>"])]
    assert everything == list(range(1, 601))
    filters = [f"{name}.a.*", f"{name}.b.*", f"{name}.*.x"]
    assert [each.sequence async for each in bus.read(name, filters, start=100)] == list(range(100, 601))
    one = [each async for each in bus.read(name, [f"{name}.a.x"])]
    assert [each.subject for each in one] == [f"{name}.a.x"] * 300
    assert [each async for each in bus.read(name, [f"{name}.>"], start=601)] == []


@promise
async def a_stream_can_be_followed(bus: Bus, name: str) -> None:
    """With `follow`, what is there comes first and then what is new, in order, without a gap."""
    await bus.provision([stream(name)], [])
    await publish(bus, name, "a.1", "b.1", "a.2")
    seen: list[str] = []
    ready = asyncio.Event()

    async def follow() -> None:
        async for each in bus.read(name, [f"{name}.a.*", f"{name}.c.*"], start=2, follow=True):
            seen.append(each.data.decode())
            ready.set()
            if each.data == b"c.9":
                return

    task = asyncio.create_task(follow())
    async with asyncio.timeout(10):
        await ready.wait()
        await publish(bus, name, "a.3", "b.2", *(f"c.{number}" for number in range(10)))
        await task
    assert seen == ["a.2", "a.3", *(f"c.{number}" for number in range(10))]


@promise
async def one_message_can_be_had_and_removed(bus: Bus, name: str) -> None:
    """`get` by sequence; after `delete`, which may be repeated, it is None."""
    await bus.provision([stream(name)], [])
    await bus.publish(f"{name}.a", b"data", headers={"K": "v"})
    found = await bus.get(name, 1)
    assert found
    assert (found.subject, found.sequence, found.data, dict(found.headers)) == (f"{name}.a", 1, b"data", {"K": "v"})
    await bus.delete(name, 1)
    await bus.delete(name, 1)
    assert await bus.get(name, 1) is None
    assert await bus.last(name, [f"{name}.>"]) == []


@promise
async def a_bucket_keeps_the_last_value(bus: Bus, name: str) -> None:
    """A key has its last value, none when it never had one or was deleted."""
    await bus.provision([], [], buckets=[BucketSpec(name, ttl=60)])
    assert await bus.kv_get(name, "a.1") is None
    await bus.kv_delete(name, "a.1")
    await bus.kv_put(name, "a.1", b"1")
    await bus.kv_put(name, "a.1", b"2")
    await bus.kv_put(name, "a.2", b"3")
    assert (await bus.kv_get(name, "a.1"), await bus.kv_get(name, "a.2")) == (b"2", b"3")
    await bus.kv_delete(name, "a.1")
    assert await bus.kv_get(name, "a.1") is None


@promise
async def a_bucket_forgets(bus: Bus, name: str) -> None:
    """After its time to live a value is gone."""
    await bus.provision([], [], buckets=[BucketSpec(name, ttl=1)])
    await bus.kv_put(name, "a", b"1")
    begun = time.monotonic()
    while await bus.kv_get(name, "a") is not None:
        assert time.monotonic() < begun + 8
        await asyncio.sleep(0.05)
    assert time.monotonic() > begun + 1 - TOLERANCE


@promise
async def a_subject_keeps_no_more_than_its_limit(bus: Bus, name: str) -> None:
    """With `max_per_subject` the oldest of a subject goes, other subjects stay."""
    await bus.provision([stream(name, max_per_subject=1)], [])
    await publish(bus, name, "a", "b", "a", "a")
    assert [each.sequence async for each in bus.read(name, [f"{name}.>"])] == [2, 4]


@promise
async def what_is_removed_needs_no_acknowledgement(bus: Bus, name: str) -> None:
    """Removed by its subject's limit or by hand, an unacknowledged message makes room at once and never comes again."""
    await bus.provision([stream(name, max_per_subject=1)], [worker(name, max_ack_pending=1)])
    reader = await Reader.on(bus, name, want=10)
    await publish(bus, name, "a")
    await reader.have(1)
    await publish(bus, name, "a")
    await bus.delete(name, (await reader.have(2))[1].sequence)
    await publish(bus, name, "b", "c")
    third = (await reader.have(3))[2]
    for gone in reader.got[:2]:
        await gone.nak()
        await gone.ack()
    await third.ack()
    await (await reader.have(4))[3].ack()
    assert [(each.data, each.delivered) for each in reader.got] == [(b"a", 1), (b"a", 1), (b"b", 1), (b"c", 1)]
    assert await unacknowledged(bus, name) == 0
    await reader.drain()


@promise
async def a_stream_can_copy_another(bus: Bus, name: str) -> None:
    """A source's messages arrive under the rewritten subject."""
    copy = StreamSpec(
        f"{name}C", (), 3600, source=Source(name, f"{name}.*.*", f"{name}C.{{{{wildcard(1)}}}}"), fsync=False
    )
    await bus.provision([copy, stream(name)], [])
    await publish(bus, name, "a.1", "b.2", "c")
    seen: list[str] = []
    async with asyncio.timeout(10):
        async for each in bus.read(f"{name}C", [f"{name}C.>"], follow=True):
            seen.append(each.subject)
            if len(seen) == 2:
                break
    assert seen == [f"{name}C.a", f"{name}C.b"]


@promise
async def provisioning_twice_changes_nothing(bus: Bus, name: str) -> None:
    """It reports what it made, that nothing changed, what it updated, what is extra, and what it pruned."""
    specs: tuple[list[StreamSpec], list[ConsumerSpec]] = [stream(name)], [worker(name)]
    buckets = [BucketSpec(f"{name}B", ttl=60)]

    async def report(*, prune: bool = False) -> dict[str, str]:
        return {each.what: each.action for each in await bus.provision(*specs, buckets=buckets, prune=prune)}

    names = [f"stream {name}", f"bucket {name}B", f"consumer {name}.work"]
    assert await report() == dict.fromkeys(names, "created")
    assert await report() == dict.fromkeys(names, "unchanged")
    specs = [stream(name, window=60.0)], [worker(name, f"{name}.a", f"{name}.b", ack_wait=7, max_ack_pending=9)]
    buckets = [BucketSpec(f"{name}B", ttl=90)]
    assert await report() == dict.fromkeys(names, "updated")
    assert await report() == dict.fromkeys(names, "unchanged")
    specs = specs[0], []
    unused = {f"stream {name}": "unchanged", f"bucket {name}B": "unchanged"}
    assert await report() == {**unused, f"consumer {name}.work": "extra"}
    assert await report(prune=True) == {**unused, f"consumer {name}.work": "pruned"}
    assert await report() == unused


@promise
async def an_updated_consumer_goes_on_where_it_was(bus: Bus, name: str) -> None:
    """Another filter or `ack_wait` keeps its place in the stream."""
    await bus.provision([stream(name)], [worker(name)])
    await publish(bus, name, "a", "b")
    reader = await Reader.on(bus, name, want=1)
    await (await reader.have(1))[0].ack()
    await bus.provision([stream(name)], [worker(name, f"{name}.b", f"{name}.c", ack_wait=7)])
    await publish(bus, name, "c")
    reader.want(5)
    assert [each.data for each in await reader.have(3)] == [b"a", b"b", b"c"]
    await reader.drain()


@promise
async def a_consumer_can_take_over(bus: Bus, name: str) -> None:
    """Made to come after others, it begins at the oldest message that they have not acknowledged; else at new ones."""
    await bus.provision([stream(name)], [])
    await publish(bus, name, "old")
    others = [ConsumerSpec(name, other, (f"{name}.>",)) for other in ("work", "idle")]
    await bus.provision([stream(name)], others[:1])
    await publish(bus, name, "acked", "open", "acked", "pending")
    reader = await Reader.on(bus, name, want=3)
    for each in list(await reader.have(3)):
        if each.data == b"acked":
            await each.ack()
    await bus.provision([stream(name)], others)

    async def begun_by(consumer: str, *after: str) -> list[bytes]:
        got: list[Message] = []
        spec = ConsumerSpec(name, consumer, (f"{name}.>",), after=after)
        await bus.provision([stream(name)], [*others, spec])
        await publish(bus, name, f"new-{consumer}")
        subscription = await bus.subscribe(name, consumer, got.append)
        subscription.want(100)
        await eventually(lambda: got and got[-1].data == f"new-{consumer}".encode(), "the new one")
        await subscription.drain()
        return [each.data for each in got]

    assert await begun_by("first", "work", "nobody") == [b"open", b"acked", b"pending", b"new-first"]
    assert await begun_by("second", "nobody") == [b"new-second"]
    assert await begun_by("third", "idle") == [b"new-first", b"new-second", b"new-third"]
    assert (await begun_by("fourth", "idle", "work"))[0] == b"open"
    await reader.drain()


@promise
async def what_can_not_be_changed_is_reported(bus: Bus, name: str) -> None:
    """A refusal is drift, with the reason, and the rest is provisioned all the same."""
    await bus.provision([stream(name)], [])
    greedy = StreamSpec(f"{name}G", (f"{name}.x.>",), 3600)
    report = await bus.provision([greedy, stream(f"{name}H")], [])
    assert [each.action for each in report] == ["drift", "created"]
    assert "overlap" in report[0].detail


@promise
async def a_deleted_consumer_is_waited_for(bus: Bus, name: str) -> None:
    """`bound` tells that a consumer is missing; once it is made (again), the credit given before is served."""
    await bus.provision([stream(name)], [])
    reader = await Reader.on(bus, name, want=5)
    subscription = reader.subscription
    assert subscription
    assert not subscription.bound
    await bus.provision([stream(name)], [worker(name)])
    await eventually(lambda: subscription.bound, "bound")
    await publish(bus, name, "a")
    message = (await reader.have(1))[0]
    await bus.provision([stream(name)], [], prune=True)
    await eventually(lambda: not subscription.bound, "not bound")
    with pytest.raises(BusDown):
        await message.ack()
    await bus.provision([stream(name)], [worker(name)])
    await eventually(lambda: subscription.bound, "bound again")
    await publish(bus, name, "b", "c", "d", "e", "f", "g")
    await reader.have(5)
    assert reader.subjects == ["a", "b", "c", "d", "e"]
    await reader.drain()


@promise
async def a_consumers_state_is_told(bus: Bus, name: str) -> None:
    """What waits, what is unacknowledged, what was delivered again, and whether anybody asks."""
    await bus.provision([stream(name)], [worker(name)])
    await publish(bus, name, "a", "b", "c")
    reader = await Reader.on(bus, name, want=2)
    first, second = await reader.have(2)
    await second.nak()
    # Confirmed: the nak before it has been taken.
    await first.ack()
    reader.want(1)
    assert (await reader.have(3))[2].delivered == 2
    (state,) = await bus.state(name)
    assert (state.name, state.stream, state.pending, state.unacknowledged) == ("work", name, 1, 1)
    assert (state.redelivered, state.waiting, state.finished) == (1, 0, 2)
    await reader.drain()


@promise
async def a_bus_that_answers_is_alive(bus: Bus, name: str) -> None:
    """`alive` returns, and a signal goes out though nobody listens."""
    await bus.signal(f"{name}.progress", b"1")
    await bus.alive()


async def heard(bus: Bus, subject: str, listener: AsyncGenerator[tuple[str, bytes]]) -> None:
    """Signal until the listener has heard one, and let it hear the last of them."""
    hearing = asyncio.ensure_future(anext(listener))
    said = 0
    async with asyncio.timeout(8):
        while not hearing.done():
            said += 1
            await bus.signal(subject, b"%d" % said)
            await asyncio.wait([hearing], timeout=0.05)
        data = hearing.result()[1]
        while data != b"%d" % said:
            _, data = await anext(listener)


@promise
async def a_signal_reaches_who_listens(bus: Bus, name: str) -> None:
    """Each listener whose subject, wildcards included, matches hears it as it was said and in order; nothing else."""
    async with aclosing(bus.listen(f"{name}.>")) as every, aclosing(bus.listen(f"{name}.*.b")) as some:
        for listener in (every, some):
            await heard(bus, f"{name}.ready.b", listener)
        for token in ("a", "x.b", "x.c", "y.b"):
            await bus.signal(f"{name}.{token}", token.encode())
        async with asyncio.timeout(8):
            # What was said to wake the second reached the first as well.
            said = [each async for each in until(every, b"y.b") if not each[0].endswith(".ready.b")]
            assert said == [(f"{name}.{token}", token.encode()) for token in ("a", "x.b", "x.c", "y.b")]
            assert [await anext(some) for _ in range(2)] == [(f"{name}.x.b", b"x.b"), (f"{name}.y.b", b"y.b")]


async def until(listener: AsyncGenerator[tuple[str, bytes]], last: bytes) -> AsyncGenerator[tuple[str, bytes]]:
    """What it hears up to the message with the data `last`, that one included."""
    async for each in listener:
        yield each
        if each[1] == last:
            return


@promise
async def who_listens_slowly_misses_the_oldest(bus: Bus, name: str) -> None:
    """However much is said, no more than 1,024 messages wait for a listener: the newest, in order."""
    async with aclosing(bus.listen(f"{name}.*")) as listener:
        await heard(bus, f"{name}.ready", listener)
        for number in range(3000):
            await bus.signal(f"{name}.a", b"n%d" % number)
        # A round trip: what was said before it has arrived.
        await bus.alive()
        async with asyncio.timeout(8):
            got = [data async for _, data in until(listener, b"n2999")]
    assert got == [b"n%d" % number for number in range(3000 - 1024, 3000)]


@promise
async def who_leaves_leaves_nothing_behind(bus: Bus, name: str) -> None:
    """Closed or cancelled, a listener has no task and no subscription left: nobody is there to hear."""
    tasks = len(asyncio.all_tasks())
    for leave in ("closed", "cancelled"):
        listener = bus.listen(f"{name}.a")
        await heard(bus, f"{name}.a", listener)
        if leave == "cancelled":
            hearing = asyncio.ensure_future(anext(listener))
            await asyncio.sleep(0)
            hearing.cancel()
            await asyncio.wait([hearing])
        await listener.aclose()
        await eventually(lambda: len(asyncio.all_tasks()) == tasks, "no task is left")
        # With somebody there, a publication would wait in vain for a stream's answer.
        with pytest.raises(StreamMissing):
            await bus.publish(f"{name}.a", b"", timeout=2)
