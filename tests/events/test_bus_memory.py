"""The bus in memory keeps the contract, and the contract catches buses that don't."""

import asyncio
import time
from collections.abc import Callable

import pytest

from events.bus import BusDown, ConsumerSpec, Expect, Message, Published, StreamSpec
from events.newest import MOST_UNHEARD, Newest
from events.testing import MemoryBus, MemoryMessage, MemorySubscription
from events.testing.consumer import MemoryConsumer
from events.testing.stream import MemoryStream
from tests.events.contract import CONTRACT, Promise


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_memory_bus(promise: Promise) -> None:
    """The bus in memory keeps each promise of `events.bus`."""
    await promise(MemoryBus(), "S")


class _IdsPerSubject(MemoryStream):
    def known(self, message_id: str, _subject: str) -> int:
        return super().known(message_id + _subject, _subject)

    def remember(self, message_id: str, _subject: str, sequence: int) -> None:
        super().remember(message_id + _subject, _subject, sequence)


class _NoExpectations(MemoryStream):
    def check(self, expect: Expect) -> None:
        pass


class _ExpectationAfterId(MemoryStream):
    def check(self, expect: Expect) -> None:
        if expect.subject != f"{self.spec.name}.>":
            super().check(expect)


class _NakAtOnce(MemoryConsumer):
    def nak(self, sequence: int, delay: float) -> None:
        super().nak(sequence, 0)


class _NakLost(MemoryConsumer):
    def nak(self, sequence: int, delay: float) -> None:
        pass


class _NoHeartbeat(MemoryConsumer):
    def heartbeat(self, sequence: int) -> None:
        pass


class _NoAckWait(MemoryConsumer):
    def _wait(self, sequence: int, seconds: float) -> None:
        if seconds != self.spec.ack_wait:
            super()._wait(sequence, seconds)


class _NeverFull(MemoryConsumer):
    def full(self) -> bool:
        return False


class _DelayedDontCount(MemoryConsumer):
    def full(self) -> bool:
        waiting = sum(1 for each in self._pending.values() if each.timer and each.timer.when > self._clock.now() + 1)
        return waiting >= self.spec.max_ack_pending


class _AckIgnored(MemoryConsumer):
    def ack(self, sequence: int) -> None:
        pass


class _RemovedStays(MemoryConsumer):
    def removed(self, sequence: int) -> None:
        pass


class _OneTooMany(MemorySubscription):
    def want(self, count: int) -> None:
        super().want(count + 1 if count else 0)


class _CreditReplaced(MemorySubscription):
    def want(self, count: int) -> None:
        self.credit = 0
        super().want(count)


class _DrainStrands(MemorySubscription):
    async def drain(self) -> None:
        self._deliver = _dropped
        await super().drain()


class _AlwaysBound(MemorySubscription):
    @property
    def bound(self) -> bool:
        return True


class _TakeWaits(MemorySubscription):
    async def take(self) -> bool:
        before = self.credit + 1
        self.want(1)
        await self._quiet.wait()
        return self.credit < before


class _RecallIgnored(MemorySubscription):
    async def recall(self) -> None:
        pass


class _RecallStrands(MemorySubscription):
    async def recall(self) -> None:
        deliver, self._deliver = self._deliver, _dropped
        await asyncio.sleep(0.001)
        await super().recall()
        self._deliver = deliver


class _BeginsAnew(MemoryConsumer):
    def begin_after(self, sequence: int) -> None:
        pass


class _OldestKept(Newest):
    def put(self, subject: str, data: bytes) -> None:
        if len(self._messages) < MOST_UNHEARD:
            super().put(subject, data)


def _dropped(_: Message) -> None:
    pass


def _bus(
    *,
    stream: type[MemoryStream] = MemoryStream,
    consumer: type[MemoryConsumer] = MemoryConsumer,
    subscription: type[MemorySubscription] = MemorySubscription,
    newest: type[Newest] = Newest,
) -> Callable[[], MemoryBus]:
    class Broken(MemoryBus):
        stream_type = stream
        consumer_type = consumer
        subscription_type = subscription
        newest_type = newest

    return Broken


BROKEN = {
    "ids_per_subject": (_bus(stream=_IdsPerSubject), "a_message_id_is_stored_once_whatever_the_subject"),
    "no_expectations": (_bus(stream=_NoExpectations), "of_many_racing_publishers_one_wins"),
    "expectation_after_id": (_bus(stream=_ExpectationAfterId), "an_expectation_that_does_not_hold_stores_nothing"),
    "nak_at_once": (_bus(consumer=_NakAtOnce), "a_delayed_nak_comes_after_its_delay"),
    "nak_lost": (_bus(consumer=_NakLost), "a_nak_brings_the_message_again"),
    "no_heartbeat": (_bus(consumer=_NoHeartbeat), "a_heartbeat_restarts_the_wait"),
    "no_ack_wait": (_bus(consumer=_NoAckWait), "what_is_acknowledged_does_not_come_again"),
    "never_full": (_bus(consumer=_NeverFull), "no_more_are_unacknowledged_than_allowed"),
    "delayed_dont_count": (_bus(consumer=_DelayedDontCount), "no_more_are_unacknowledged_than_allowed"),
    "ack_ignored": (_bus(consumer=_AckIgnored), "what_is_acknowledged_does_not_come_again"),
    "removed_stays": (_bus(consumer=_RemovedStays), "what_is_removed_needs_no_acknowledgement"),
    "one_too_many": (_bus(subscription=_OneTooMany), "no_more_arrive_than_were_asked_for"),
    "credit_replaced": (_bus(subscription=_CreditReplaced), "credit_waits_for_messages_to_come"),
    "drain_strands": (_bus(subscription=_DrainStrands), "a_drain_strands_nothing"),
    "always_bound": (_bus(subscription=_AlwaysBound), "a_deleted_consumer_is_waited_for"),
    "take_waits": (_bus(subscription=_TakeWaits), "what_is_there_can_be_taken"),
    "recall_ignored": (_bus(subscription=_RecallIgnored), "what_was_asked_for_can_be_taken_back"),
    "recall_strands": (_bus(subscription=_RecallStrands), "a_recall_strands_nothing"),
    "begins_anew": (_bus(consumer=_BeginsAnew), "a_consumer_can_take_over"),
    "oldest_kept": (_bus(newest=_OldestKept), "who_listens_slowly_misses_the_oldest"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_bus_fails_the_contract(broken: str) -> None:
    """A bus that breaks one promise on purpose fails the sentence that states it."""
    make, sentence = BROKEN[broken]
    (promise,) = [each for each in CONTRACT if each.__name__ == sentence]
    with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
        await promise(make(), "S")


async def test_the_clock_can_be_moved_on() -> None:
    """`advance` makes what waits happen in order, without waiting."""
    bus = MemoryBus()
    await bus.provision([StreamSpec("S", ("s.>",), 3600)], [ConsumerSpec("S", "work", ("s.>",), ack_wait=15)])
    got: list[tuple[float, int]] = []
    begun = bus.clock.now()

    def deliver(message: Message) -> None:
        got.append((round(bus.clock.now() - begun), message.delivered))

    subscription = await bus.subscribe("S", "work", deliver)
    subscription.want(10)
    await bus.publish("s.a", b"")
    waited = time.monotonic()
    await bus.clock.advance(50)
    assert got == [(0, 1), (15, 2), (30, 3), (45, 4)]
    assert time.monotonic() - waited < 5
    await bus.clock.advance(3600)
    assert bus.stored("S") == []
    await subscription.drain()


async def test_thousands_of_messages_take_seconds() -> None:
    """What one message costs does not grow with what is stored: quick tests stay quick."""
    bus = MemoryBus()
    await bus.provision(
        [StreamSpec("S", ("s.>",), 3600)], [ConsumerSpec("S", f"work{one}", (f"s.{one}.>",)) for one in range(5)]
    )
    acks: list[asyncio.Task[None]] = []

    async def ack(message: Message) -> None:
        await message.ack()

    for one in range(5):
        subscription = await bus.subscribe("S", f"work{one}", lambda each: acks.append(asyncio.create_task(ack(each))))
        subscription.want(5000)
    begun = time.process_time()
    for number in range(5000):
        await bus.publish(f"s.{number % 5}.{number}", b"", message_id=str(number), expect=Expect(f"s.*.{number}"))
    await bus.clock.advance(1)
    await asyncio.gather(*acks)
    assert len(acks) == 5000
    assert time.process_time() - begun < 5


async def test_a_bus_that_is_down_says_so() -> None:
    """`down` makes every call raise and deliveries stop; afterwards everything goes on."""
    bus = MemoryBus()
    await bus.provision([StreamSpec("S", ("s.>",), 3600)], [ConsumerSpec("S", "work", ("s.>",))])
    got: list[Message] = []
    subscription = await bus.subscribe("S", "work", got.append)
    bus.down = True
    subscription.want(1)
    for call in (bus.alive(), bus.publish("s.a", b""), bus.state("S")):
        with pytest.raises(BusDown):
            await call
    assert not subscription.bound
    bus.down = False
    assert await bus.publish("s.a", b"") == Published("S", 1)
    await asyncio.sleep(0)
    assert subscription.bound
    assert isinstance(got[0], MemoryMessage)
    await subscription.drain()


async def test_a_listener_that_left_is_forgotten() -> None:
    """The bus in memory keeps nothing for whoever stopped listening."""
    bus = MemoryBus()
    listener = bus.listen("a.*")
    hearing = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    await bus.signal("a.b", b"c")
    assert await hearing == ("a.b", b"c")
    assert [subject for subject, _ in bus.listeners] == ["a.*"]
    await listener.aclose()
    assert bus.listeners == []
