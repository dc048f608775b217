"""One function at work in a process: no more deliveries than free slots, heartbeats, a clean drain."""

import asyncio
import time
from functools import partial

import structlog

from events import metrics
from events.bus import Message, Subscription
from events.delivery import Carrier, Delivery, Process
from events.lanes import consumer_names
from events.patience import STOP_SECONDS
from events.registry import Function
from events.streams import stream_of

log = structlog.get_logger()

LEAVE_SECONDS = STOP_SECONDS + 1
"""How long a process that must end waits for what doesn't."""


class Runner:
    """One function in this process: its slots, its heartbeats, its deliveries."""

    def __init__(self, function: Function, process: Process) -> None:
        self.function = function
        self._stream = stream_of(function, process.application)
        self._consumers = consumer_names(function, process.application.lanes)
        self._bus = process.bus
        self._carrier = Carrier(function, self._stream, process, self._on_hold)
        self._concurrency = process.budget.at_once(function)
        self._subscriptions: dict[str, Subscription] = {}
        self._running: dict[int, Delivery] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[Delivery] = []
        self._gathering: asyncio.TimerHandle | None = None
        self._holding = 0
        self._owed = 0
        self._draining = False
        self._handed: set[asyncio.Task[None]] = set()
        self._gauge = metrics.RUNNING.labels(function.name)

    @property
    def slots(self) -> int:
        """How many deliveries this process takes at once."""
        return self._concurrency * max(self.function.batch, 1)

    @property
    def bound(self) -> bool:
        """Whether the consumer, or that of every lane, exists and answers."""
        return bool(self._subscriptions) and all(each.bound for each in self._subscriptions.values())

    @property
    def running(self) -> int:
        """Deliveries being worked on, waiting and held ones included."""
        return len(self._running)

    async def start(self) -> None:
        """Bind and ask for as many deliveries as there are slots."""
        await self._bind()
        self._free(self.slots)

    async def _bind(self) -> None:
        for lane, consumer in self._consumers.items():
            deliver = partial(self._deliver, lane, consumer)
            self._subscriptions[lane] = await self._bus.subscribe(self._stream, consumer, deliver)

    async def beat(self) -> None:
        """Send a heartbeat for every delivery that waits, is held or is within its timeout."""
        now = time.monotonic()
        for delivery in list(self._running.values()):
            if now < delivery.beats_until:
                await delivery.message.in_progress()
        metrics.BOUND.labels(self.function.name).set(self.bound)

    def close(self) -> None:
        """Take nothing more: what arrives from now on is handed back."""
        self._draining = True

    async def drain(self, deadline: float) -> None:
        """No new fetch; running handlers finish until `deadline` (monotonic); the rest are handed back."""
        self.close()
        await asyncio.gather(*(each.drain() for each in self._subscriptions.values()))
        while self._waiting:
            # A batch that was gathering is here already: working on it is less than delivering it again.
            self._spawn(self._take(self.function.batch))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(deadline - time.monotonic(), 0))
        for task in self._tasks:
            task.cancel()
        # Each task hands its deliveries back as it is cancelled; one that doesn't end can't keep the process.
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_SECONDS)
        for delivery in list(self._running.values()):
            self._hand_back(delivery)
        if self._handed:
            await asyncio.wait(self._handed, timeout=LEAVE_SECONDS)

    def _deliver(self, lane: str, consumer: str, message: Message) -> None:
        known = self._running.get(message.sequence)
        if known is not None:
            # Delivered again while it runs here (a heartbeat was late): one run, acknowledged by its newest name.
            known.message = message
            self._free(1)
            return
        delivery = Delivery(message, consumer, lane)
        if self._draining:
            self._hand_back(delivery)
            return
        self._running[message.sequence] = delivery
        self._gauge.inc()
        self._accept(delivery)

    def _accept(self, delivery: Delivery) -> None:
        if not self.function.batch:
            self._spawn([delivery])
            return
        self._waiting.append(delivery)
        self._gather()

    def _gather(self) -> None:
        """Start a batch when it is full, or when its first delivery has waited for `linger`."""
        while self._waiting and len(self._tasks) < self._concurrency:
            if len(self._waiting) < self.function.batch and self.function.linger:
                if self._gathering is None:
                    self._gathering = asyncio.get_running_loop().call_later(self.function.linger, self._lingered)
                return
            self._spawn(self._take(self.function.batch))

    def _lingered(self) -> None:
        self._gathering = None
        if self._waiting and not self._draining and len(self._tasks) < self._concurrency:
            self._spawn(self._take(self.function.batch))

    def _take(self, count: int) -> list[Delivery]:
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _spawn(self, deliveries: list[Delivery]) -> None:
        task = asyncio.create_task(self._carry(deliveries), name=self.function.name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._gather()

    async def _carry(self, deliveries: list[Delivery]) -> None:
        try:
            await self._carrier.carry(deliveries)
        except asyncio.CancelledError:
            for delivery in deliveries:
                self._hand_back(delivery)
            raise
        except Exception:
            # Not the handler's: a defect of the runtime. The delivery comes again after ack_wait.
            log.exception("delivery.broken", function=self.function.name)
            await asyncio.sleep(1)
        finally:
            for delivery in deliveries:
                if self._running.pop(delivery.message.sequence, None) is not None:
                    self._gauge.dec()
            self._free(len(deliveries))

    def _free(self, count: int) -> None:
        if self._draining:
            return
        if self._holding:
            self._owed += count
            return
        for each in self._subscriptions.values():
            each.want(count)

    def _on_hold(self, change: int) -> None:
        """While one is held, fetching stops; what was freed meanwhile is asked for afterwards."""
        self._holding += change
        if not self._holding and self._owed:
            owed, self._owed = self._owed, 0
            self._free(owed)

    def _hand_back(self, delivery: Delivery) -> None:
        if self._running.pop(delivery.message.sequence, None) is not None:
            self._gauge.dec()
        metrics.DELIVERIES.labels(self.function.name, "handed_back").inc()
        task = asyncio.get_running_loop().create_task(delivery.message.nak())
        self._handed.add(task)
        task.add_done_callback(self._handed.discard)
