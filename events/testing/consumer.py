"""One durable consumer in memory: what is delivered, to whom, and when it comes again."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from events.bus import BusDown, ConsumerSpec, ConsumerState, Message, Stored
from events.testing.clock import Clock, Timer
from events.testing.stream import MemoryStream


class MemoryMessage:
    """One delivery."""

    def __init__(self, consumer: "MemoryConsumer", stored: Stored, delivered: int) -> None:
        self._consumer = consumer
        self._stored = stored
        self._delivered = delivered

    @property
    def subject(self) -> str:
        """The subject it was published on."""
        return self._stored.subject

    @property
    def data(self) -> bytes:
        """The payload."""
        return self._stored.data

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers; names as they were sent."""
        return self._stored.headers

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""
        return self._stored.sequence

    @property
    def delivered(self) -> int:
        """How many times it was delivered, this one included."""
        return self._delivered

    async def ack(self, *, confirmed: bool = True) -> None:
        """Acknowledge.

        Raises:
            BusDown: the bus is down, or the consumer was deleted.
        """
        await asyncio.sleep(0)
        if self._consumer.reachable():
            self._consumer.ack(self.sequence)
        elif confirmed:
            raise BusDown(f"{self.subject}: nobody takes its acknowledgement")

    async def nak(self, delay: float = 0) -> None:
        """Ask for it again after `delay` seconds."""
        await asyncio.sleep(0)
        if self._consumer.reachable():
            self._consumer.nak(self.sequence, delay)

    async def in_progress(self) -> None:
        """Restart `ack_wait`."""
        await asyncio.sleep(0)
        if self._consumer.reachable():
            self._consumer.heartbeat(self.sequence)


@dataclass
class Pending:
    """Delivered and not acknowledged: how often, and what brings it again."""

    delivered: int = 0
    timer: Timer | None = None

    def restart(self, timer: Timer | None) -> None:
        """Replace the timer."""
        if self.timer:
            self.timer.cancel()
        self.timer = timer


class MemoryConsumer:
    """Explicit acks, any number of deliveries; messages that come again go before new ones."""

    def __init__(self, spec: ConsumerSpec, stream: MemoryStream, clock: Clock, reachable: Callable[[], bool]) -> None:
        self.spec = spec
        self.gone = False
        self._stream = stream
        self._clock = clock
        self._reachable = reachable
        self._next = stream.last_sequence + 1
        self._deliveries = 0
        self._pending: dict[int, Pending] = {}
        self._again: deque[int] = deque()
        self._subscriptions: deque[MemorySubscription] = deque()

    def reachable(self) -> bool:
        """Whether acknowledgements arrive."""
        return self._reachable() and not self.gone

    def join(self, subscription: "MemorySubscription") -> None:
        """Serve a subscription's credit."""
        self._subscriptions.append(subscription)
        self.pump()

    def leave(self, subscription: "MemorySubscription") -> None:
        """Serve it no more."""
        self._subscriptions.remove(subscription)

    def pump(self) -> None:
        """Deliver what there is to whoever has credit, in turn."""
        while self.reachable():
            subscription = next((each for each in self._subscriptions if each.credit > 0), None)
            message = self._take() if subscription else None
            if subscription is None or message is None:
                return
            self._subscriptions.remove(subscription)
            self._subscriptions.append(subscription)
            pending = self._pending.setdefault(message.sequence, Pending())
            pending.delivered += 1
            self._deliveries += 1
            self._wait(message.sequence, self.spec.ack_wait)
            subscription.receive(MemoryMessage(self, message, pending.delivered))

    def _take(self) -> Stored | None:
        while self._again:
            sequence = self._again.popleft()
            message = self._stream.get(sequence)
            if message and sequence in self._pending:
                return message
            self.ack(sequence)
        if self.full():
            return None
        found = next(self._stream.following(self.spec.subjects, self._next), None)
        # What doesn't match is not looked at again.
        self._next = (found.sequence if found else self._stream.last_sequence) + 1
        return found

    def floor(self) -> int:
        """The sequence up to which everything is acknowledged, or not for it."""
        return min(self._pending, default=self._next) - 1

    def begin_after(self, sequence: int) -> None:
        """Begin with the message after this one."""
        self._next = sequence + 1

    def full(self) -> bool:
        """Whether as much is unacknowledged as may be; what waits for a nak's delay counts."""
        return len(self._pending) >= self.spec.max_ack_pending

    def ack(self, sequence: int) -> None:
        """Done with; any delivery of a message acknowledges it."""
        pending = self._pending.pop(sequence, None)
        if pending:
            pending.restart(None)
            self.pump()

    def removed(self, sequence: int) -> None:
        """The stream has it no more: nobody needs to acknowledge it, and it doesn't come again."""
        pending = self._pending.pop(sequence, None)
        if pending:
            pending.restart(None)
            # Not at once: it may be a look for the next message that made the stream forget this one.
            asyncio.get_running_loop().call_soon(self.pump)

    def nak(self, sequence: int, delay: float) -> None:
        """Deliver it again after the delay, which may be longer than `ack_wait`."""
        if sequence not in self._pending:
            return
        if delay > 0:
            self._wait(sequence, delay)
        else:
            self._deliver_again(sequence)

    def heartbeat(self, sequence: int) -> None:
        """Wait for `ack_wait` from now on."""
        if sequence in self._pending and sequence not in self._again:
            self._wait(sequence, self.spec.ack_wait)

    def _wait(self, sequence: int, seconds: float) -> None:
        timer = self._clock.call_later(seconds, lambda: self._deliver_again(sequence))
        self._pending[sequence].restart(timer)

    def _deliver_again(self, sequence: int) -> None:
        self._pending[sequence].restart(None)
        if sequence not in self._again:
            self._again.append(sequence)
        self.pump()

    def delete(self) -> None:
        """The consumer ends; who is bound to it is not any more."""
        self.gone = True
        for pending in self._pending.values():
            pending.restart(None)

    def state(self) -> ConsumerState:
        """How it stands."""
        return ConsumerState(
            name=self.spec.name,
            stream=self.spec.stream,
            pending=len(self._stream.messages(self.spec.subjects, self._next)),
            unacknowledged=len(self._pending),
            redelivered=sum(1 for each in self._pending.values() if each.delivered > 1),
            waiting=sum(1 for each in self._subscriptions if each.credit > 0),
            finished=self._deliveries - len(self._pending),
        )


class MemorySubscription:
    """See `events.bus.Subscription`."""

    def __init__(self, find: Callable[[], MemoryConsumer | None], deliver: Callable[[Message], None]) -> None:
        self.credit = 0
        self._find = find
        self._deliver = deliver
        self._consumer: MemoryConsumer | None = None
        self._drained = False
        self._coming = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def bound(self) -> bool:
        """False while the consumer does not exist or the bus is down."""
        return self._consumer is not None and self._consumer.reachable()

    def bind(self) -> None:
        """Look for the consumer again: it was made, deleted or made anew."""
        found = None if self._drained else self._find()
        if found is not self._consumer:
            self._consumer = found
            if found:
                found.join(self)
        elif found:
            found.pump()

    def want(self, count: int) -> None:
        """Grant credit for `count` messages more."""
        self.credit += count
        if self._consumer:
            self._consumer.pump()

    def receive(self, message: MemoryMessage) -> None:
        """Deliver in the loop's next turn, as a socket would."""
        self.credit -= 1
        self._coming += 1
        self._quiet.clear()
        asyncio.get_running_loop().call_soon(self._arrive, message)

    def _arrive(self, message: MemoryMessage) -> None:
        self._coming -= 1
        if not self._coming:
            self._quiet.set()
        self._deliver(message)

    async def take(self) -> bool:
        """Deliver one message that is there, and say whether there was one."""
        await asyncio.sleep(0)
        self.want(1)
        came = self.credit == 0
        self.credit = 0
        await self._quiet.wait()
        return came

    async def recall(self) -> None:
        """Ask for nothing more until it is asked again."""
        self.credit = 0
        await self._quiet.wait()

    async def drain(self) -> None:
        """Ask for nothing more; return when what was on its way has been delivered."""
        self.credit = 0
        if not self._drained and self._consumer:
            self._consumer.leave(self)
        self._drained = True
        await self._quiet.wait()
