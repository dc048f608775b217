"""A message bus in memory that behaves as `events.nats` on one server does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from events.bus import (
    BucketSpec,
    BusDown,
    Change,
    ConsumerSpec,
    ConsumerState,
    Expect,
    Message,
    Published,
    Stored,
    StreamMissing,
    StreamSpec,
)
from events.newest import Newest
from events.testing.clock import Clock
from events.testing.consumer import MemoryConsumer, MemorySubscription
from events.testing.stream import MemoryStream
from events.testing.subjects import matches, overlaps, transformed

MOST_LAST = 1024


class MemoryBus:
    """See `events.bus.Bus`. `down`: as if the server were away; `signals`: what was sent without storing.

    `listeners`: who listens, to what.
    """

    stream_type = MemoryStream
    consumer_type = MemoryConsumer
    subscription_type = MemorySubscription
    newest_type = Newest

    def __init__(self) -> None:
        self.clock = Clock()
        self.signals: list[tuple[str, bytes]] = []
        self.listeners: list[tuple[str, Newest]] = []
        self._down = False
        self._streams: dict[str, MemoryStream] = {}
        self._consumers: dict[tuple[str, str], MemoryConsumer] = {}
        self._subscriptions: list[MemorySubscription] = []
        self._buckets: dict[str, BucketSpec] = {}
        self._values: dict[tuple[str, str], tuple[bytes, float]] = {}
        self._grown = asyncio.Event()

    @property
    def down(self) -> bool:
        """Whether the bus answers nobody."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        self._rebind()

    def stored(self, stream: str, *subjects: str) -> list[Stored]:
        """What a stream holds, for a test to look at."""
        return self._streams[stream].messages(subjects or (">",))

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Expect | None = None,
        timeout: float = 5.0,
    ) -> Published:
        """See `events.bus.Bus.publish`. Down, it raises at once."""
        del timeout
        await self._answer()
        for stream in self._streams.values():
            if any(matches(pattern, subject) for pattern in stream.spec.subjects):
                return stream.publish(subject, data, dict(headers or {}), message_id, expect)
        raise StreamMissing(f"{subject}: no stream takes it: run `tidegate provision`")

    async def subscribe(self, stream: str, consumer: str, deliver: Callable[[Message], None]) -> MemorySubscription:
        """See `events.bus.Bus.subscribe`."""
        subscription = self.subscription_type(lambda: self._consumers.get((stream, consumer)), deliver)
        self._subscriptions.append(subscription)
        subscription.bind()
        return subscription

    async def last(self, stream: str, subjects: Sequence[str]) -> list[Stored]:
        """See `events.bus.Bus.last`; in order of sequence."""
        found = (await self._stream(stream)).last(subjects)
        if len(found) > MOST_LAST:
            raise ValueError(f"{stream}: more than 1,024 subjects match {list(subjects)}")
        return found

    async def read(
        self, stream: str, subjects: Sequence[str], *, start: int = 1, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See `events.bus.Bus.read`."""
        while True:
            grown = self._grown
            for each in (await self._stream(stream)).messages(subjects, start):
                yield each
                start = each.sequence + 1
            if not follow:
                return
            await grown.wait()

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """See `events.bus.Bus.get`."""
        return (await self._stream(stream)).get(sequence)

    async def delete(self, stream: str, sequence: int) -> None:
        """See `events.bus.Bus.delete`."""
        (await self._stream(stream)).delete(sequence)

    async def kv_get(self, bucket: str, key: str) -> bytes | None:
        """See `events.bus.Bus.kv_get`."""
        await self._bucket(bucket)
        value, until = self._values.get((bucket, key), (None, 0.0))
        return value if until > self.clock.now() else None

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        """See `events.bus.Bus.kv_put`."""
        spec = await self._bucket(bucket)
        self._values[bucket, key] = (value, self.clock.now() + (spec.ttl or float("inf")))

    async def kv_delete(self, bucket: str, key: str) -> None:
        """See `events.bus.Bus.kv_delete`."""
        await self._bucket(bucket)
        self._values.pop((bucket, key), None)

    async def signal(self, subject: str, data: bytes) -> None:
        """See `events.bus.Bus.signal`."""
        if self._down:
            return
        self.signals.append((subject, data))
        for pattern, newest in self.listeners:
            if matches(pattern, subject):
                newest.put(subject, data)

    async def listen(self, subject: str) -> AsyncGenerator[tuple[str, bytes]]:
        """See `events.bus.Bus.listen`."""
        entry = (subject, self.newest_type())
        self.listeners.append(entry)
        try:
            while True:
                if heard := await entry[1].take():
                    yield heard
        finally:
            self.listeners.remove(entry)

    async def provision(
        self,
        streams: Sequence[StreamSpec],
        consumers: Sequence[ConsumerSpec],
        *,
        buckets: Sequence[BucketSpec] = (),
        prune: bool = False,
    ) -> list[Change]:
        """See `events.bus.Bus.provision`."""
        await self._answer()
        changes = [self._make_stream(spec) for spec in streams]
        changes += [self._make_bucket(spec) for spec in buckets]
        changes += [self._make_consumer(spec) for spec in consumers]
        named = {spec.name for spec in streams if spec.source is None}  # a sourced stream is for subscribers
        wanted = {(spec.stream, spec.name) for spec in consumers}
        extras = [key for key in self._consumers if key[0] in named and key not in wanted]
        changes += [self._extra(key, prune=prune) for key in extras]
        self._rebind()
        return changes

    async def state(self, stream: str) -> list[ConsumerState]:
        """See `events.bus.Bus.state`."""
        await self._stream(stream)
        return [each.state() for each in self._consumers_of(stream)]

    async def alive(self) -> None:
        """See `events.bus.Bus.alive`."""
        await self._answer()

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self._down:
            raise BusDown("the bus is down")

    async def _stream(self, name: str) -> MemoryStream:
        await self._answer()
        if name not in self._streams:
            raise StreamMissing(f"{name}: no such stream: run `tidegate provision`")
        return self._streams[name]

    async def _bucket(self, name: str) -> BucketSpec:
        await self._answer()
        if name not in self._buckets:
            raise StreamMissing(f"bucket {name}: no such bucket: run `tidegate provision`")
        return self._buckets[name]

    def _rebind(self) -> None:
        for subscription in self._subscriptions:
            subscription.bind()

    def _make_stream(self, spec: StreamSpec) -> Change:
        what = f"stream {spec.name}"
        others = [each.spec for each in self._streams.values() if each.spec.name != spec.name]
        if any(_overlap(spec.subjects, other.subjects) for other in others):
            return Change(what, "drift", "subjects overlap with an existing stream")
        current = self._streams.get(spec.name)
        if current is None:
            self._streams[spec.name] = self.stream_type(
                spec, self.clock, lambda each: self._kept(spec.name, each), lambda each: self._removed(spec.name, each)
            )
            return Change(what, "created")
        if current.spec == spec:
            return Change(what, "unchanged")
        if current.spec.fsync != spec.fsync:
            current.spec = replace(spec, fsync=current.spec.fsync)
            return Change(what, "drift", "persist_mode: can not be changed")
        current.spec = spec
        return Change(what, "updated")

    def _make_bucket(self, spec: BucketSpec) -> Change:
        current = self._buckets.get(spec.name)
        self._buckets[spec.name] = spec
        return Change(f"bucket {spec.name}", _action(current, spec))

    def _make_consumer(self, spec: ConsumerSpec) -> Change:
        key = (spec.stream, spec.name)
        current = self._consumers.get(key)
        action = _action(current.spec if current else None, spec)
        if current:
            current.spec = spec
        else:
            stream = self._streams[spec.stream]
            made = self.consumer_type(spec, stream, self.clock, lambda: not self._down)
            known = (self._consumers.get((spec.stream, name)) for name in spec.after)
            floors = [each.floor() for each in known if each]
            if floors:
                made.begin_after(min(floors))
            self._consumers[key] = made
        return Change(f"consumer {spec.stream}.{spec.name}", action)

    def _extra(self, key: tuple[str, str], *, prune: bool) -> Change:
        what = f"consumer {'.'.join(key)}"
        if not prune:
            return Change(what, "extra", "not part of this version; --prune deletes it")
        self._consumers.pop(key).delete()
        return Change(what, "pruned")

    def _kept(self, stream: str, message: Stored) -> None:
        for other in self._streams.values():
            source = other.spec.source
            if source and source.stream == stream and matches(source.src, message.subject):
                other.append(transformed(message.subject, source.src, source.dest), message.data, message.headers)
        for consumer in self._consumers_of(stream):
            consumer.pump()
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _removed(self, stream: str, sequence: int) -> None:
        for consumer in self._consumers_of(stream):
            consumer.removed(sequence)

    def _consumers_of(self, stream: str) -> list[MemoryConsumer]:
        return [each for (name, _), each in self._consumers.items() if name == stream]


def _action(current: object, wanted: object) -> str:
    if current is None:
        return "created"
    return "unchanged" if current == wanted else "updated"


def _overlap(ours: Iterable[str], theirs: Sequence[str]) -> bool:
    return any(overlaps(one, other) for one in ours for other in theirs)
