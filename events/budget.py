"""One CPU budget for a process: what runs at once never weighs more than the process was given.

How a function weighs itself, in cores:

- `cpu=0`: it mostly waits for others (storage, NATS, MongoDB, clamd). It never waits here.
- `cpu=1`: one child of its works all the time, a decoder or one thread of FFmpeg; more for so many busy threads.
- `background=True` beside that: one try takes longer than somebody quick would like to wait, as encoding a chunk does.
  Its children run at a low priority (`nice`), so that `cpu` is what they may take from others; what is idle is theirs
  as well.

Whoever needs a share gets it in order of arrival; the one at the head is not overtaken, however heavy it is. With one
exception, so that a video doesn't starve images: as much as the heaviest quick function weighs (at most half of the
budget) is never given to the background, and what is quick may pass those of the background that wait, as long as all
that is quick fits into that. So what is quick waits for what is quick alone. The background is not starved either: it
only waits until what is quick and ran already has ended.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from events import metrics
from events.registry import Function

# Shares are counted in thousandths of a core: fractions of a float don't add up to what they should.
CORE = 1000

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of the machine: `<microseconds> <period>`, or `max` (cgroup v2, cpu.max)."""


def cores(limit: Path = CGROUP_LIMIT) -> float:
    """The cores this process may use: those it may run on, or its container's share if that is less."""
    allowed = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = limit.read_text().split()
        return min(allowed, int(quota) / int(period))
    except (OSError, ValueError):
        return allowed


@dataclass(eq=False, slots=True)
class _Share:
    """What one delivery asks for."""

    weight: int
    background: bool
    given: asyncio.Future[None]


class Budget:
    """The budget of one process, `total` in cores, shared by its functions."""

    def __init__(self, total: float, functions: Iterable[Function] = ()) -> None:
        functions = list(functions)
        self._total = max(round(total * CORE), 2)
        patient = any(function.background for function in functions)
        self._most_quick = self._total // 2 if patient else self._total
        heaviest = max((round(function.cpu * CORE) for function in functions if not function.background), default=0)
        self._reserve = min(heaviest, self._most_quick) if patient else 0
        self._quick = self._background = 0
        self._waiting: list[_Share] = []
        self._closed = False
        metrics.CPU_BUDGET.set(self._total / CORE)

    @property
    def used(self) -> float:
        """What runs now weighs so many cores."""
        return (self._quick + self._background) / CORE

    @property
    def waiting(self) -> int:
        """Deliveries that wait for their share."""
        return len(self._waiting)

    def at_once(self, function: Function) -> int:
        """How many deliveries of a function run at once if nothing else does: fetching more would be for nothing."""
        weight = self._weight(function)
        room = self._total - self._reserve if function.background else self._total
        return min(function.concurrency, room // weight) if weight else function.concurrency

    @asynccontextmanager
    async def share(self, function: Function) -> AsyncGenerator[None]:
        """Run with the function's share of the budget.

        Raises:
            asyncio.CancelledError: the process stops, and this would have to wait.
        """
        weight = self._weight(function)
        if not weight:
            yield
            return
        share = _Share(weight, function.background, asyncio.get_running_loop().create_future())
        await self._wait(share, function.name)
        try:
            yield
        finally:
            self._count(share, -1)
            self._give()

    def close(self) -> None:
        """Nobody waits any more: who does is cancelled."""
        self._closed = True
        for share in self._waiting:
            share.given.cancel()

    def _weight(self, function: Function) -> int:
        most = self._total - self._reserve if function.background else self._most_quick
        return min(max(round(function.cpu * CORE), 1), most) if function.cpu else 0

    async def _wait(self, share: _Share, name: str) -> None:
        self._waiting.append(share)
        self._give()
        if share.given.done():
            return
        if self._closed:
            share.given.cancel()
        waiting = metrics.CPU_WAITING.labels(name)
        waiting.inc()
        try:
            await share.given
        except asyncio.CancelledError:
            if share.given.cancelled():
                self._waiting.remove(share)
            else:
                # Given in the same turn of the loop.
                self._count(share, -1)
            self._give()
            raise
        finally:
            waiting.dec()

    def _give(self) -> None:
        """Give shares in order of arrival, up to the first that doesn't fit; a quick one may pass the background."""
        passing = False
        for share in list(self._waiting):
            if share.given.cancelled():
                continue
            if share.background:
                passing = passing or not self._fits(share)
                if passing:
                    continue
            elif self._quick + share.weight > self._reserve and (passing or not self._fits(share)):
                return
            self._waiting.remove(share)
            self._count(share, 1)
            share.given.set_result(None)

    def _fits(self, share: _Share) -> bool:
        if share.background and self._background + share.weight > self._total - self._reserve:
            return False
        return self._quick + self._background + share.weight <= self._total

    def _count(self, share: _Share, sign: int) -> None:
        weight = sign * share.weight
        if share.background:
            self._background += weight
        else:
            self._quick += weight
        metrics.CPU_USED.set(self.used)
