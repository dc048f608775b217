"""Everything that happens, to everybody who may be told: one reader for the process, each event parsed once.

EVENTS says what is new and MEDIA what was missed. An event's id is its sequence in MEDIA in both, as in the stream of
one media: EVENTS may be made anew from MEDIA, and notes where in it a message comes from.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import ExitStack, aclosing, contextmanager
from typing import Final, TypeVar, cast

import structlog

from events.bus import Bus, BusError, Stored
from gateway.archive import STREAM
from gateway.subscriber import PROGRESS, Ending, Subscriber, Told
from gateway.tail import Tail
from gateway.watch import PROGRESS_SECONDS
from schemas.subjects import happened

PATIENCE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 2.0
HEARTBEAT_SECONDS: Final = 15.0
# Events of everybody between what a client saw last and now: half a minute of this process's work.
LONGEST_WAY: Final = 500_000
# A replica that is late ends early; what it can't have, since it was deleted, isn't waited for.
ATTEMPTS: Final = 5
MOST_REMEMBERED: Final = 10_000

Key = TypeVar("Key")
Value = TypeVar("Value")

log = structlog.get_logger()


class Feed:
    """Hands events on to those who may be told. `gateway.tail.Tail` calls it while anybody is subscribed.

    Attributes:
        position: the sequence in MEDIA up to which everything was handed on.
    """

    def __init__(self, bus: Bus, tail: Tail) -> None:
        self._bus = bus
        self._tail = tail
        self._subscribers: set[Subscriber] = set()
        self._held = ExitStack()
        self._begun = asyncio.Event()
        self._readers: dict[str, frozenset[str]] = {}
        self._spoken: dict[tuple[str, str], float] = {}
        self.position = 0

    @contextmanager
    def subscribed(
        self, seers: Collection[str], events: Collection[str], kinds: Collection[str], seconds: float
    ) -> Generator[Subscriber]:
        """Somebody who is told as long as the context lasts, at most so many seconds."""
        subscriber = Subscriber(seers, events, kinds)
        self._subscribers.add(subscriber)
        if len(self._subscribers) == 1:
            self._held.enter_context(self._tail.listening(self))
        expiry = asyncio.get_running_loop().call_later(seconds, subscriber.end, Ending.EXPIRED)
        try:
            yield subscriber
        finally:
            expiry.cancel()
            self._subscribers.discard(subscriber)
            if not self._subscribers:
                self._held.close()
                self._begun.clear()

    async def place(self, after: int | None) -> tuple[int, bool]:
        """Where to begin for a client who saw everything up to sequence `after`, and whether he missed something.

        Raises:
            BusError: NATS doesn't answer.
            TimeoutError: the same.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._begun.wait()
            if after is None:
                return self.position, False
            too_far = self.position - after > LONGEST_WAY
            if too_far or (after and await self._bus.get(STREAM, after) is None):
                return self.position, True
            return after, False

    def close(self) -> None:
        """Tell everybody that this process is stopping."""
        for subscriber in self._subscribers:
            subscriber.end(Ending.CLOSING)

    async def told(self, subscriber: Subscriber, seen: int) -> AsyncGenerator[Told]:
        """What a subscriber is told after sequence `seen`, until it is ended.

        At first, and when nothing else was told for a while, the place after which to resume, under no name.
        """
        yield _place(seen)
        spoken = time.monotonic()
        while not subscriber.ended.is_set():
            if subscriber.behind:
                async with aclosing(self._missed(subscriber, seen)) as missed:
                    async for sequence, told in missed:
                        seen = sequence
                        if told or time.monotonic() - spoken >= HEARTBEAT_SECONDS:
                            yield told or _place(seen)
                            spoken = time.monotonic()
                continue
            if told := subscriber.take():
                if told.sequence is None or told.sequence > seen:
                    yield told
                    spoken = time.monotonic()
                seen = max(seen, told.sequence or 0)
                continue
            seen = max(seen, self.position)
            if time.monotonic() - spoken >= HEARTBEAT_SECONDS:
                yield _place(seen)
                spoken = time.monotonic()
            await subscriber.wait(spoken + HEARTBEAT_SECONDS)

    async def _missed(self, subscriber: Subscriber, seen: int) -> AsyncGenerator[tuple[int, Told | None]]:
        """What is in the stream after `seen`: each sequence, and what is to be told of it."""
        subscriber.behind, subscriber.reading = False, True
        newest = self.position
        try:
            for _ in range(ATTEMPTS):
                # An AsyncIterator by contract; every bus makes it with a generator.
                reading = cast("AsyncGenerator[Stored]", self._bus.read(STREAM, ["media.>"], start=seen + 1))
                async with aclosing(reading) as messages:
                    async for message in messages:
                        if subscriber.ended.is_set():
                            return
                        seen = message.sequence
                        told = Told.of(message, seen)
                        yield seen, told if told and subscriber.wants(told) else None
                if seen >= newest:
                    break
            yield max(seen, newest), None
        except BusError as error:
            log.warning("feed.interrupted", error=str(error))
            subscriber.fall_behind()
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            subscriber.reading = False

    def begin(self, newest: Stored | None) -> None:
        """What comes after this message is handed on from now; what came before it may have been missed."""
        position = _sequence(newest) if newest else 0
        for subscriber in self._subscribers:
            subscriber.fall_behind()
        self.position = max(position, self.position)
        self._begun.set()

    def pause(self) -> None:
        """Nothing is handed on until it begins again."""
        self._begun.clear()

    def heard(self, message: Stored) -> None:
        """Hand an event on."""
        sequence = _sequence(message)
        if told := Told.of(message, sequence):
            _remember(self._readers, told.media_id, told.readers)
            for subscriber in self._subscribers:
                subscriber.offer(told)
        self.position = max(sequence, self.position)

    async def said(self, media_id: str, function: str, line: bytes) -> None:
        """Hand on how far a function is, of each no more than two in a second."""
        now = time.monotonic()
        if now - self._spoken.get((media_id, function), 0) < PROGRESS_SECONDS:
            return
        _remember(self._spoken, (media_id, function), now)
        seers = self._readers.get(media_id)
        if seers is None:
            seers = await self._look_up(media_id)
        told = Told(PROGRESS, line, None, readers=seers, media_id=media_id)
        for subscriber in self._subscribers:
            subscriber.offer(told)

    async def _look_up(self, media_id: str) -> frozenset[str]:
        """Who may see a media of which no event has come since this began."""
        try:
            stored = await self._bus.last(STREAM, [happened("requested", media_id)])
        except (BusError, ValueError):
            return frozenset()
        told = Told.of(stored[0], 0) if stored else None
        seers = told.readers if told else frozenset[str]()
        _remember(self._readers, media_id, seers)
        return seers


def _place(sequence: int) -> Told:
    return Told("", b"", sequence)


def _sequence(message: Stored) -> int:
    """Where in MEDIA a message of EVENTS comes from.

    `Nats-Stream-Source: <stream> <sequence> <filter> <transform> <subject>`: https://docs.nats.io/nats-concepts/jetstream/headers.
    """
    return int(message.headers["Nats-Stream-Source"].split(" ")[1])


def _remember(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep the newest so many."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MOST_REMEMBERED:
        del known[next(iter(known))]
