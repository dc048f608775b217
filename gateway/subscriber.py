"""Somebody who is told everything that he may see: what waits for him, and why it ended."""

import asyncio
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Self, cast

from events.bus import Stored
from gateway.archive import one_line, read_event
from schemas.catalog import readers
from schemas.document import event_name

# Some hundred events. Who lets more pile up reads slower than things happen, and would only fall further behind.
LARGEST_BACKLOG: Final = 1024 * 1024
PROGRESS: Final = "progress"


class Ending(Enum):
    """Why a stream ended: a word for programs, a WebSocket's close code, and a sentence for people.

    Codes: https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number.
    """

    SLOW = ("slow", 1013, "You read slower than things happen. Connect again with the last id: nothing is lost.")
    EXPIRED = ("token_expired", 3000, "The token has expired. Connect again with a new one and the last id.")
    CLOSING = ("closing", 1012, "This gateway is stopping. Connect again with the last id: nothing is lost.")

    @property
    def reason(self) -> str:
        """For programs."""
        return self.value[0]

    @property
    def code(self) -> int:
        """A WebSocket's close code."""
        return self.value[1]

    @property
    def sentence(self) -> str:
        """For people; at most 123 bytes, as a close frame has room for."""
        return self.value[2]


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell.

    Attributes:
        name: the event's name.
        data: one line of JSON.
        sequence: in MEDIA, the id to resume after; None: progress, which is stored nowhere.
        kind: of the media, as the subject says.
        readers: who may be told, in the words of `schemas.catalog`.
        media_id: what it is about.
    """

    name: str
    data: bytes
    sequence: int | None
    kind: str = ""
    readers: frozenset[str] = frozenset()
    media_id: str = ""

    @classmethod
    def of(cls, message: Stored, sequence: int) -> Self | None:
        """An event as it is stored in MEDIA or EVENTS; None for what is none, or nobody's."""
        event = read_event(message.data)
        media: Any = event["data"].get("media") if event else None
        if event is None or not isinstance(media, dict) or not (seers := readers(cast("dict[str, Any]", media))):
            return None
        kind = message.subject.split(".")[2]
        return cls(
            event_name(event), one_line(event, message.data), sequence, kind, frozenset(seers), str(event["subject"])
        )


class Subscriber:
    """Filled by `gateway.feed.Feed`, emptied by whoever sends it to the client.

    Attributes:
        behind: what is published is not put here: it must be read from the stream first.
        reading: the stream is being read; what comes meanwhile waits, and if it is too much, it is read as well.
        ended: nothing more is to be told; `ending` says why.
    """

    def __init__(self, seers: Collection[str], events: Collection[str] = (), kinds: Collection[str] = ()) -> None:
        self.behind = True
        self.reading = False
        self.ended = asyncio.Event()
        self.ending: Ending | None = None
        self._readers = frozenset(seers)
        self._events = frozenset(events)
        self._kinds = frozenset(kinds)
        self._waiting: deque[Told] = deque()
        self._backlog = 0
        self._changed = asyncio.Event()

    def wants(self, told: Told) -> bool:
        """Whether he may be told, and asked for it."""
        if told.readers.isdisjoint(self._readers) or (self._events and told.name not in self._events):
            return False
        return not self._kinds or told.kind in self._kinds

    def offer(self, told: Told) -> None:
        """Let something wait for him if he wants it."""
        if self.behind or self.ended.is_set() or not self.wants(told):
            return
        self._backlog += len(told.data)
        if self._backlog > LARGEST_BACKLOG:
            if told.sequence is None:
                self._backlog -= len(told.data)
            elif self.reading:
                self.fall_behind()
            else:
                self.end(Ending.SLOW)
            return
        self._waiting.append(told)
        self._changed.set()

    def take(self) -> Told | None:
        """The next that waits."""
        if not self._waiting:
            return None
        told = self._waiting.popleft()
        self._backlog -= len(told.data)
        return told

    def fall_behind(self) -> None:
        """Something was missed: everything after what he was told last is to be read from the stream."""
        self._forget()
        self.behind = True
        self._changed.set()

    def end(self, ending: Ending) -> None:
        """Tell nothing more; the first reason counts."""
        self.ending = self.ending or ending
        self._forget()
        self.ended.set()
        self._changed.set()

    async def wait(self, until: float) -> None:
        """Return when something changed, or at a time of `time.monotonic`."""
        if not self._waiting and not self.behind and not self.ended.is_set():
            self._changed.clear()
            try:
                async with asyncio.timeout(max(until - time.monotonic(), 0)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _forget(self) -> None:
        self._waiting.clear()
        self._backlog = 0
