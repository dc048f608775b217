"""What is new, for whoever watches a media: one reader of EVENTS for the whole process, while anybody watches.

Beside it one listener hears how far functions are; that is told as it was said, and stored nowhere. The reader only
wakes. What happened is read from MEDIA, on which the gateway has (and needs) no right to make consumers:
who may make one there could change a function's.
"""

import asyncio
import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from events.bus import Bus, BusError
from gateway.watch import Watch
from schemas.subjects import progress

STREAM: Final = "EVENTS"
FILTER: Final = "events.>"
PROGRESS: Final = progress("*")
RETRY_SECONDS: Final = 5.0
# Parsing every event of the installation to find the few that are watched would be the gateway's main work.
_SUBJECT = re.compile(rb'"subject":\s*"([0-9a-f-]{36})"')

log = structlog.get_logger()


class Tail:
    """Wakes the watchers of a media when an event of it was published, and tells them how far functions are."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._watchers: dict[str, set[Watch]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.following = False

    @property
    def idle(self) -> bool:
        """Nobody watches, and nothing is read or heard."""
        return not self._watchers and not self._tasks

    @contextmanager
    def watching(self, media_id: str) -> Generator[Watch]:
        """What is told of the media as long as the context lasts."""
        watch = Watch()
        self._watchers.setdefault(media_id, set()).add(watch)
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._read(), name="tail of EVENTS"),
                asyncio.create_task(self._listen(), name="listener to progress"),
            ]
        try:
            yield watch
        finally:
            self._watchers[media_id].discard(watch)
            if not self._watchers[media_id]:
                del self._watchers[media_id]
            if not self._watchers:
                for task in self._tasks:
                    task.cancel()
                self._tasks = []

    async def _read(self) -> None:
        while True:
            try:
                newest = max((one.sequence for one in await self._bus.last(STREAM, [FILTER])), default=0)
                self._wake_all()
                self.following = True
                async for message in self._bus.read(STREAM, [FILTER], start=newest + 1, follow=True):
                    if found := _SUBJECT.search(message.data):
                        self._wake(found[1].decode())
            except BusError as error:
                # Watchers look for themselves every other second meanwhile.
                log.warning("tail.interrupted", error=str(error))
            self.following = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                async for subject, data in self._bus.listen(PROGRESS):
                    watchers = self._watchers.get(subject.rpartition(".")[2])
                    if watchers and (said := _progress(data)):
                        for watch in watchers:
                            watch.say(*said)
            except BusError as error:
                log.warning("tail.deaf", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    def _wake_all(self) -> None:
        for media_id in self._watchers:
            self._wake(media_id)

    def _wake(self, media_id: str) -> None:
        for watch in self._watchers.get(media_id, ()):
            watch.wake()


def _progress(data: bytes) -> tuple[str, bytes] | None:
    """The function, and what it said on one line; None for what is no progress."""
    try:
        said: dict[str, Any] = json.loads(data)
        line = {name: said[name] for name in ("media_id", "function", "done", "total")}
    except (ValueError, TypeError, KeyError):
        return None
    return str(line["function"]), json.dumps(line).encode()
