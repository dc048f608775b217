import asyncio
import contextlib
from collections import deque
from typing import Generic, TypeVar

Place = TypeVar("Place")

QUICK_IN_A_ROW = 8
"""So many that are quick go before one that isn't, where both wait: whatever comes, something is rendered."""


class Places(Generic[Place]):
    """Places of decoders, the last one that was given back first: its memory is warm.

    Who is quick goes first: to say what a file is takes milliseconds, and would wait for seconds behind pictures that
    are rendered, though the files that wait to be let in may be more urgent than those.
    """

    def __init__(self) -> None:
        self._idle: list[Place] = []
        self._quick: deque[asyncio.Future[Place]] = deque()
        self._slow: deque[asyncio.Future[Place]] = deque()
        self._in_a_row = 0

    def __len__(self) -> int:
        """How many nobody has."""
        return len(self._idle)

    async def take(self, *, quick: bool) -> Place:
        """Wait for a place, in order of arrival among those that are as quick."""
        if self._idle:
            return self._idle.pop()
        waiting = asyncio.get_running_loop().create_future()
        line = self._quick if quick else self._slow
        line.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self.give(waiting.result())  # it came too late
            with contextlib.suppress(ValueError):
                line.remove(waiting)
            raise

    def give(self, place: Place) -> None:
        """Give a place to who waits for one."""
        while (line := self._next()) is not None:
            waiting = line.popleft()
            if not waiting.done():
                self._in_a_row = self._in_a_row + 1 if line is self._quick else 0
                waiting.set_result(place)
                return
        self._idle.append(place)

    def _next(self) -> "deque[asyncio.Future[Place]] | None":
        lines = (self._quick, self._slow) if self._in_a_row < QUICK_IN_A_ROW else (self._slow, self._quick)
        return next((line for line in lines if line), None)
