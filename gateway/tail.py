"""What is new, for whoever watches a media or listens to everything: one reader of EVENTS for the whole process.

It reads while anybody watches. Beside it one listener hears how far functions are; that is told as it was said, and
stored nowhere. The reader only wakes who watches a media. What happened is read from MEDIA, on which the gateway has
(and needs) no right to make consumers: who may make one there could change a function's.
"""

import asyncio
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol

import structlog
from pydantic import ValidationError

from events.bus import Bus, BusError, Stored
from gateway.watch import Watch
from schemas.progress import Progress
from schemas.subjects import progress

STREAM: Final = "EVENTS"
FILTER: Final = "events.>"
PROGRESS: Final = progress("*")
RETRY_SECONDS: Final = 5.0
# Parsing every event of the installation to find the few that are watched would be the gateway's main work.
_SUBJECT = re.compile(rb'"subject":\s*"([0-9a-f-]{36})"')

log = structlog.get_logger()


class Listener(Protocol):
    """Who hears everything (`gateway.feed.Feed`)."""

    def begin(self, newest: Stored | None) -> None:
        """What is published after this message is heard from now on; anything before it may have been missed."""
        ...

    def pause(self) -> None:
        """Nothing is heard until it begins again."""
        ...

    def heard(self, message: Stored) -> None:
        """A message of EVENTS."""
        ...

    async def said(self, media_id: str, function: str, line: bytes) -> None:
        """How far a function is."""
        ...


class Tail:
    """Wakes the watchers of a media when an event of it was published, and tells them how far functions are."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._watchers: dict[str, set[Watch]] = {}
        self._listeners: set[Listener] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._newest: Stored | None = None
        self.following = False

    @property
    def idle(self) -> bool:
        """Nobody watches, and nothing is read or heard."""
        return not self._watchers and not self._listeners and not self._tasks

    @contextmanager
    def watching(self, media_id: str) -> Generator[Watch]:
        """What is told of the media as long as the context lasts."""
        watch = Watch()
        self._watchers.setdefault(media_id, set()).add(watch)
        self._start()
        try:
            yield watch
        finally:
            self._watchers[media_id].discard(watch)
            if not self._watchers[media_id]:
                del self._watchers[media_id]
            self._stop()

    @contextmanager
    def listening(self, listener: Listener) -> Generator[None]:
        """Let somebody hear everything as long as the context lasts."""
        self._listeners.add(listener)
        self._start()
        if self.following:
            listener.begin(self._newest)
        try:
            yield
        finally:
            self._listeners.discard(listener)
            self._stop()

    def _start(self) -> None:
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._read(), name="tail of EVENTS"),
                asyncio.create_task(self._listen(), name="listener to progress"),
            ]

    def _stop(self) -> None:
        if not self._watchers and not self._listeners:
            for task in self._tasks:
                task.cancel()
            self._tasks, self.following = [], False

    async def _read(self) -> None:
        while True:
            try:
                newest = await self._bus.last(STREAM, [FILTER])
                self._newest = max(newest, key=lambda one: one.sequence, default=None)
                self._wake_all()
                self.following = True
                for listener in self._listeners:
                    listener.begin(self._newest)
                start = self._newest.sequence + 1 if self._newest else 1
                async for message in self._bus.read(STREAM, [FILTER], start=start, follow=True):
                    self._newest = message
                    if found := _SUBJECT.search(message.data):
                        self._wake(found[1].decode())
                    for listener in self._listeners:
                        listener.heard(message)
            except BusError as error:
                # Watchers look for themselves every other second meanwhile.
                log.warning("tail.interrupted", error=str(error))
            self.following = False
            for listener in self._listeners:
                listener.pause()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                async for subject, data in self._bus.listen(PROGRESS):
                    media_id = subject.rpartition(".")[2]
                    watchers = self._watchers.get(media_id, ())
                    if (watchers or self._listeners) and (said := _progress(data)):
                        for watch in watchers:
                            watch.say(*said)
                        for listener in list(self._listeners):
                            await listener.said(media_id, *said)
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
    """The function (or its piece), and what it said on one line; None for what is no progress."""
    try:
        said = Progress.model_validate_json(data)
    except ValidationError:
        return None
    return f"{said.function}/{said.part or ''}", said.model_dump_json(exclude_none=True).encode()
