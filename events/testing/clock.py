"""The running loop's time, and a way to move it on without waiting."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count


class Timer:
    """Something that happens at a time, unless cancelled."""

    def __init__(self, when: float, action: Callable[[], None]) -> None:
        self.when = when
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """It does not happen."""
        self.action = None


class Clock:
    """Time in seconds, as the running event loop has it, plus what was skipped by `advance`."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._handle: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The time now."""
        return asyncio.get_running_loop().time() + self._skipped

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something in `seconds`, slept or skipped."""
        timer = Timer(self.now() + seconds, action)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        self._arm()
        return timer

    async def advance(self, seconds: float) -> None:
        """Skip `seconds`: what is due on the way happens in order, each at its time, and tasks run in between."""
        await _settle()
        target = self.now() + seconds
        while self._timers and self._timers[0][0] <= target:
            self._skipped += max(0.0, self._timers[0][0] - self.now())
            self._fire()
            await _settle()
        self._skipped += max(0.0, target - self.now())
        self._arm()
        await _settle()

    def _fire(self) -> None:
        while self._timers and self._timers[0][0] <= self.now():
            _, _, timer = heapq.heappop(self._timers)
            action, timer.action = timer.action, None
            if action:
                action()
        self._arm()

    def _arm(self) -> None:
        if self._handle:
            self._handle.cancel()
            self._handle = None
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if self._timers:
            wait = self._timers[0][0] - self.now()
            self._handle = asyncio.get_running_loop().call_later(max(0.0, wait), self._fire)


async def _settle() -> None:
    """Let tasks that are ready run, and those that they make ready."""
    for _ in range(20):
        await asyncio.sleep(0)
