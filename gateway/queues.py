"""How much is before a media at the function it waits for: the consumers' own figures, a few seconds old at most."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from events.bus import Bus, BusError, ConsumerState
from events.lanes import lane_consumer
from schemas.api import Queue
from schemas.waiting import CLIENT, Taker

FRESH_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 0.5
# Without an answer (or the right to ask), a status call shouldn't wait for one each time.
SULK_SECONDS: Final = 30.0
# How long a consumer is watched to say how fast it is.
SPEED_SECONDS: Final = 60.0


class Queues:
    """The consumers of MEDIA, asked for at most every other second whatever the number of callers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._states: dict[str, ConsumerState] = {}
        self._past: deque[tuple[float, dict[str, int]]] = deque()
        self._fresh_until = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def at(self, waiting: Sequence[Taker], lane: str) -> Queue | None:
        """The longest queue among these functions, for a media of this lane; None if nobody can say."""
        if not waiting or CLIENT in waiting:
            return None
        if time.monotonic() >= self._fresh_until:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        lengths = [
            (state.pending + state.unacknowledged, taker.name, state)
            for taker in waiting
            if (state := self._states.get(_consumer(taker, lane))) is not None
        ]
        if not lengths:
            return None
        length, function, state = max(lengths, key=lambda each: each[:2])
        position = max(length, 1)
        return Queue(function=function, position=position, eta_seconds=self._eta(state, position))

    def _eta(self, state: ConsumerState, position: int) -> float | None:
        """As long as so many took of late; None: nobody saw it finish any."""
        then, before = next(((at, seen[state.name]) for at, seen in self._past if state.name in seen), (0.0, 0))
        now, _ = self._past[-1]
        done = state.finished - before
        return round(position * (now - then) / done, 1) if then < now and done > 0 else None

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                states = await self._bus.state("MEDIA")
        except (BusError, TimeoutError):
            self._states, fresh = {}, SULK_SECONDS
        else:
            self._states, fresh = {state.name: state for state in states}, FRESH_SECONDS
            self._past.append((time.monotonic(), {state.name: state.finished for state in states}))
        now = time.monotonic()
        while self._past and self._past[0][0] < now - SPEED_SECONDS:
            self._past.popleft()
        self._fresh_until = now + fresh
        self._asking = None


def _consumer(taker: Taker, lane: str) -> str:
    return lane_consumer(taker.name, lane) if taker.lanes else taker.name
