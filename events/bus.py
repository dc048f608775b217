"""What the runtime asks of a message bus: NATS JetStream (`events.nats`) or the in-memory one (`events.testing`).

Both keep the same promises, held by one contract suite (`tests/events/contract.py`): a stream remembers message ids
for its duplicate window whatever their subject; a delivery that is not acknowledged within `ack_wait` of its last
heartbeat comes again; a nak with a delay comes again after it and occupies `max_ack_pending` meanwhile; a message that
its stream has no more needs no acknowledgement.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class BusError(Exception):
    """Root of what a bus raises.

    BusError
    ├── BusDown            not confirmed: the server is away, slow or has no leader; the message may have been stored
    ├── WrongLastSequence  an expectation failed: somebody else was first
    ├── StreamMissing      no stream takes this subject: run `tidegate provision`
    └── BusClosed          the connection is closed for good (credentials refused, protocol error)
    """


class BusDown(BusError):
    """The bus did not confirm in time; the message may or may not have been stored."""


class WrongLastSequence(BusError):
    """`Expect` did not hold: a message on the expected subject is newer."""


class StreamMissing(BusError):
    """No stream takes this subject."""


class BusClosed(BusError):
    """The connection is closed for good."""


@dataclass(frozen=True, slots=True)
class Expect:
    """Publish only if the last message on `subject` (wildcards allowed) has sequence `sequence`; 0: there is none."""

    subject: str
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """A stream's confirmation. `duplicate`: the stream knew the message id and stored nothing."""

    stream: str
    sequence: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A message read from a stream, not delivered: nothing to acknowledge."""

    subject: str
    sequence: int
    data: bytes
    headers: Mapping[str, str]
    time: datetime


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream as it should be. Times in seconds; `max_per_subject` 0: unlimited."""

    name: str
    subjects: tuple[str, ...]
    max_age: float
    duplicate_window: float = 120.0
    max_per_subject: int = 0
    replicas: int = 1
    source: "Source | None" = None
    description: str = ""
    fsync: bool = True
    """False only for what can be made again from another stream (EVENTS)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Messages copied from another stream, their subject rewritten (`src` → `dest`)."""

    stream: str
    src: str
    dest: str


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable pull consumer as it should be. `ack_wait` in seconds.

    Attributes:
        after: consumers whose work it takes over: made while one of them is there, it begins at the oldest message that
            they have not acknowledged. Otherwise it begins at new messages.
    """

    stream: str
    name: str
    subjects: tuple[str, ...]
    ack_wait: float = 15.0
    max_ack_pending: int = 1000
    description: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A KV bucket as it should be; `ttl` in seconds."""

    name: str
    ttl: float
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a provisioning report. `action`: created, updated, unchanged, drift, extra or pruned."""

    what: str
    action: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """How a consumer stands.

    Attributes:
        name: Its name.
        stream: Whose messages it delivers.
        pending: Messages that wait in the stream.
        unacknowledged: Messages that were delivered and are not acknowledged.
        redelivered: Those of them that were delivered more than once.
        waiting: Open pull requests.
        finished: Deliveries that are over, since there is the consumer.
    """

    name: str
    stream: str
    pending: int
    unacknowledged: int
    redelivered: int
    waiting: int
    finished: int


class Message(Protocol):
    """One delivery of a stream's message to one consumer."""

    @property
    def subject(self) -> str:
        """The subject it was published on."""
        ...

    @property
    def data(self) -> bytes:
        """The payload."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers; names as they were sent."""
        ...

    @property
    def sequence(self) -> int:
        """Its sequence in the stream: the same at each redelivery."""
        ...

    @property
    def delivered(self) -> int:
        """How many times it was sent out, this one included (1 at first); one that nobody was there for counts."""
        ...

    async def ack(self, *, confirmed: bool = True) -> None:
        """Acknowledge. A consumer's acknowledgements are taken in order: a later confirmed one confirms the others.

        Args:
            confirmed: Wait for the server's confirmation.

        Raises:
            BusDown: not confirmed; the message may come again.
        """
        ...

    async def nak(self, delay: float = 0) -> None:
        """Ask for it again after `delay` seconds. Not confirmed; lost, it comes again after `ack_wait`."""
        ...

    async def in_progress(self) -> None:
        """Heartbeat: restart `ack_wait`. Not confirmed."""
        ...


class Subscription(Protocol):
    """A bound pull consumer that delivers no more than it was asked for."""

    def want(self, count: int) -> None:
        """Ask for `count` messages more; what was asked before and has not come stays asked for."""
        ...

    async def take(self) -> bool:
        """Ask for one message that is there already; whether it came. It has been delivered then.

        Only while nothing else is asked for; False also when nobody answers.
        """
        ...

    async def recall(self) -> None:
        """Take back what was asked for and has not come; return when nothing can arrive any more.

        What arrives meanwhile is delivered.
        """
        ...

    @property
    def bound(self) -> bool:
        """False while the consumer does not exist or the server does not answer for it."""
        ...

    async def drain(self) -> None:
        """Ask for nothing more and return when nothing can arrive any more; what arrives meanwhile is delivered."""
        ...


class Bus(Protocol):
    """A message bus with streams, pull consumers, message ids, expectations, last messages and a small KV."""

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
        """Store a message in the stream that takes `subject`; return when it is on disk.

        Raises:
            BusDown: not confirmed within `timeout` seconds.
            WrongLastSequence: `expect` does not hold (checked before `message_id`).
            StreamMissing: no stream takes `subject`.
        """
        ...

    async def subscribe(self, stream: str, consumer: str, deliver: Callable[[Message], None]) -> Subscription:
        """Bind to a durable consumer; `deliver` is called for each message, on the event loop, and must not block.

        A consumer that does not exist (yet, or any more) is waited for: `Subscription.bound` says so.
        """
        ...

    async def last(self, stream: str, subjects: Sequence[str]) -> list[Stored]:
        """The last message of each subject that matches one of `subjects` (wildcards allowed; 1,024 matches at most).

        An empty answer is confirmed by the stream's leader before it is believed.

        Raises:
            BusDown: no answer.
        """
        ...

    def read(
        self, stream: str, subjects: Sequence[str], *, start: int = 1, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """Messages of a stream in order from sequence `start`; ends at the last one, or waits for more (`follow`)."""
        ...

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """The message with that sequence, None if the stream has none."""
        ...

    async def delete(self, stream: str, sequence: int) -> None:
        """Remove one message (operators: a resolved dead letter)."""
        ...

    async def kv_get(self, bucket: str, key: str) -> bytes | None:
        """The value, None if there is none."""
        ...

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        """Set the value; confirmed."""
        ...

    async def kv_delete(self, bucket: str, key: str) -> None:
        """Remove the key; a missing key is fine."""
        ...

    async def signal(self, subject: str, data: bytes) -> None:
        """Publish without storing (progress); nobody may be listening."""
        ...

    def listen(self, subject: str) -> AsyncGenerator[tuple[str, bytes]]:
        """Subject and data of each signal on `subject` (wildcards allowed), from the first `anext` on, for ever.

        What is said while the connection is broken is not heard, and who is slow misses the oldest of more than 1,024.

        Raises:
            BusClosed: the connection is closed for good.
        """
        ...

    async def provision(
        self,
        streams: Sequence[StreamSpec],
        consumers: Sequence[ConsumerSpec],
        *,
        buckets: Sequence[BucketSpec] = (),
        prune: bool = False,
    ) -> list[Change]:
        """Make streams, KV buckets and consumers as specified; report each; delete extras only with `prune`.

        Consumers of a stream that has a source are subscribers' own and never extra.
        """
        ...

    async def state(self, stream: str) -> list[ConsumerState]:
        """Every consumer of the stream as it stands."""
        ...

    async def alive(self) -> None:
        """Return if the bus answers within 2 seconds.

        Raises:
            BusDown: it does not.
        """
        ...
