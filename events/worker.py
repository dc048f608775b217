"""A process's functions at work."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from events.application import Application
from events.attempts import Attempts, Policy
from events.budget import Budget
from events.bus import Bus
from events.delivery import Process
from events.dependencies import Dependencies
from events.lane_runner import LaneRunner
from events.registry import Function
from events.runner import Runner
from events.ticks import Ticker

log = structlog.get_logger()


class Worker:
    """The functions of one process."""

    def __init__(
        self, bus: Bus, application: Application, functions: Sequence[Function], policy: Policy | None = None
    ) -> None:
        self.policy = policy or Policy()
        self.dependencies = Dependencies({**application.probes, "nats": bus.alive})
        self.budget = Budget(self.policy.cpu_budget, functions)
        process = Process(bus, application, self.policy, self.dependencies, Attempts(bus), self.budget)
        self.runners = [
            LaneRunner(function, process) if function.lanes else Runner(function, process) for function in functions
        ]
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
        # What is held, or waits for its share of the CPU, is handed back now: another process can wait as well.
        self.budget.close()
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
