"""A process's functions at work: one pull consumer each, no more deliveries than free slots, a clean drain."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from events import metrics
from events.application import Application
from events.attempts import Attempts, Policy
from events.bus import Bus, Message, Subscription
from events.delivery import Carrier, Delivery, Process
from events.dependencies import Dependencies
from events.patience import STOP_SECONDS
from events.registry import Function
from events.streams import stream_of
from events.ticks import Ticker

log = structlog.get_logger()

LEAVE_SECONDS = STOP_SECONDS + 1
"""How long a process that must end waits for what doesn't."""


class Runner:
    """One function in this process: its slots, its heartbeats, its deliveries."""

    def __init__(self, function: Function, process: Process) -> None:
        self.function = function
        self._stream = stream_of(function, process.application)
        self._policy = process.policy
        self._bus = process.bus
        self._carrier = Carrier(function, self._stream, process, self._on_hold)
        self._subscription: Subscription | None = None
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
        return self.function.concurrency * max(self.function.batch, 1)

    @property
    def bound(self) -> bool:
        """Whether the consumer exists and answers."""
        return self._subscription is not None and self._subscription.bound

    @property
    def running(self) -> int:
        """Deliveries being worked on, waiting and held ones included."""
        return len(self._running)

    async def start(self) -> None:
        """Bind and ask for as many deliveries as there are slots."""
        self._subscription = await self._bus.subscribe(self._stream, self.function.name, self._deliver)
        self._subscription.want(self.slots)

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
        if self._subscription is not None:
            await self._subscription.drain()
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

    def _deliver(self, message: Message) -> None:
        known = self._running.get(message.sequence)
        if known is not None:
            # Delivered again while it runs here (a heartbeat was late): one run, acknowledged by its newest name.
            known.message = message
            self._free(1)
            return
        delivery = Delivery(message)
        if self._draining:
            self._hand_back(delivery)
            return
        self._running[message.sequence] = delivery
        self._gauge.inc()
        if not self.function.batch:
            self._spawn([delivery])
            return
        self._waiting.append(delivery)
        self._gather()

    def _gather(self) -> None:
        """Start a batch when it is full, or when its first delivery has waited for `linger`."""
        while self._waiting and len(self._tasks) < self.function.concurrency:
            if len(self._waiting) < self.function.batch and self.function.linger:
                if self._gathering is None:
                    self._gathering = asyncio.get_running_loop().call_later(self.function.linger, self._lingered)
                return
            self._spawn(self._take(self.function.batch))

    def _lingered(self) -> None:
        self._gathering = None
        if self._waiting and not self._draining and len(self._tasks) < self.function.concurrency:
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
        if self._draining or self._subscription is None:
            return
        if self._holding:
            self._owed += count
        else:
            self._subscription.want(count)

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


class Worker:
    """The functions of one process."""

    def __init__(
        self, bus: Bus, application: Application, functions: Sequence[Function], policy: Policy | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.dependencies = Dependencies({**application.probes, "nats": bus.alive})
        process = Process(bus, application, self.policy, self.dependencies, Attempts(bus))
        self.runners = [Runner(function, process) for function in functions]
        self._tickers = [Ticker(bus, function) for function in functions if function.every is not None]
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Bind every function and begin."""
        for runner in self.runners:
            await runner.start()
        self._background = [
            asyncio.create_task(self._beat(), name="heartbeats"),
            *(asyncio.create_task(ticker.run(), name=f"tick {ticker.function.name}") for ticker in self._tickers),
        ]

    async def drain(self) -> None:
        """Finish within the grace period, hand back the rest, stop."""
        log.info("worker.draining", running=sum(runner.running for runner in self.runners))
        deadline = time.monotonic() + self.policy.grace
        for runner in self.runners:
            runner.close()
        for task in self._background[1:]:
            task.cancel()
        # What is held is handed back now: another process can wait as well.
        await self.dependencies.aclose()
        await asyncio.gather(*(runner.drain(deadline) for runner in self.runners))
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        log.info("worker.drained")

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain."""
        await self.start()
        try:
            await stop.wait()
        finally:
            await self.drain()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.policy.ack_wait / 3)
            for runner in self.runners:
                try:
                    await runner.beat()
                except Exception:
                    # The next beat is another try: without any, everything would be delivered again.
                    log.exception("heartbeat.broken", function=runner.function.name)
