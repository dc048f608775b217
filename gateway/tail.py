"""What is new, for whoever watches a media: one reader of EVENTS for the whole process, while anybody watches.

It only wakes. What happened is read from MEDIA, on which the gateway has (and needs) no right to make consumers:
who may make one there could change a function's.
"""

import asyncio
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import structlog

from events.bus import Bus, BusError

STREAM: Final = "EVENTS"
FILTER: Final = "events.>"
RETRY_SECONDS: Final = 5.0
# Parsing every event of the installation to find the few that are watched would be the gateway's main work.
_SUBJECT = re.compile(rb'"subject":\s*"([0-9a-f-]{36})"')

log = structlog.get_logger()


class Tail:
    """Wakes the watchers of a media when an event of it was published."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.following = False

    @property
    def idle(self) -> bool:
        """Nobody watches, and nothing is read."""
        return not self._watchers and self._reading is None

    @contextmanager
    def watching(self, media_id: str) -> Generator[asyncio.Event]:
        """An event that is set at each news of the media; the watcher clears it."""
        woken = asyncio.Event()
        self._watchers.setdefault(media_id, set()).add(woken)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="tail of EVENTS")
        try:
            yield woken
        finally:
            self._watchers[media_id].discard(woken)
            if not self._watchers[media_id]:
                del self._watchers[media_id]
            if not self._watchers:
                self._reading.cancel()
                self._reading = None

    async def _read(self) -> None:
        while True:
            try:
                newest = max((one.sequence for one in await self._bus.last(STREAM, [FILTER])), default=0)
                self._wake_all()
                self.following = True
                async for message in self._bus.read(STREAM, [FILTER], start=newest + 1, follow=True):
                    if found := _SUBJECT.search(message.data):
                        for woken in self._watchers.get(found[1].decode(), ()):
                            woken.set()
            except BusError as error:
                # Watchers look for themselves every other second meanwhile.
                log.warning("tail.interrupted", error=str(error))
            self.following = False
            await asyncio.sleep(RETRY_SECONDS)

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for woken in watchers:
                woken.set()
