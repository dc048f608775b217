"""A function with lanes at work: its slots are shared by weight, so that bulk never starves and never blocks."""

import asyncio

import structlog

from events.delivery import Delivery, Process
from events.lanes import Turns
from events.registry import Function
from events.runner import Runner

log = structlog.get_logger()

PAUSE_SECONDS = 1.0


class LaneRunner(Runner):
    """One function in this process, with a consumer for each lane.

    A free slot is given to the lane whose turn it is, or to the next that has something: each is asked for one message
    that is there already. When none has any, all are asked for whatever comes first; what the others were asked for is
    taken back then. So this process has no more than it can work on, except for what came in that moment: at most one
    message a lane but one, which waits here, under heartbeat, for a slot and its lane's turn.
    """

    def __init__(self, function: Function, process: Process) -> None:
        super().__init__(function, process)
        self._turns = Turns(process.application.lanes)
        self._early: list[Delivery] = []
        self._changed = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind every lane and begin to serve them."""
        await self._bind()
        self._serving = asyncio.create_task(self._serve(), name=f"lanes of {self.function.name}")

    def close(self) -> None:
        """Take nothing more; what came early is handed back."""
        super().close()
        early, self._early = self._early, []
        for delivery in early:
            self._hand_back(delivery)
        self._changed.set()

    async def drain(self, deadline: float) -> None:
        """As any function; nothing is asked for any more."""
        self.close()
        if self._serving is not None:
            await self._serving
        await super().drain(deadline)

    @property
    def _room(self) -> bool:
        """Whether there is a slot to fill."""
        return len(self._running) - len(self._early) < self.slots and not self._holding and not self._draining

    async def _serve(self) -> None:
        while not self._draining:
            self._changed.clear()
            try:
                if not (self._room and await self._fill()):
                    await self._wait()
            except Exception:
                # Nothing else would ask for messages.
                log.exception("lanes.broken", function=self.function.name)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _fill(self) -> bool:
        """Fill one slot: from the lane whose turn it is, or from the next that has something."""
        for lane in self._turns.order():
            if self._draining:
                break
            early = next((each for each in self._early if each.lane == lane), None)
            if early is not None:
                self._begin(early)
                return True
            if await self._subscriptions[lane].take():
                return True
        return False

    async def _wait(self) -> None:
        """Until something changes; with a free slot, until something comes in any lane."""
        asked = list(self._subscriptions.values()) if self._room else []
        for each in asked:
            each.want(1)
        try:
            await self._changed.wait()
        finally:
            await asyncio.gather(*(each.recall() for each in asked))

    def _accept(self, delivery: Delivery) -> None:
        self._early.append(delivery)
        if self._room:
            self._begin(delivery)
        self._changed.set()

    def _begin(self, delivery: Delivery) -> None:
        self._early = [each for each in self._early if each is not delivery]
        self._turns.served(delivery.lane)
        self._spawn([delivery])

    def _free(self, count: int) -> None:
        del count  # `_room` is counted, not kept
        self._changed.set()

    def _on_hold(self, change: int) -> None:
        super()._on_hold(change)
        self._changed.set()
