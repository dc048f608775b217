"""A tiny domain for the runtime's own tests, which knows nothing of media: parcels are sent, weighed and labelled."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from events.application import Application, Outgoing, Source
from events.attempts import Attempts, Policy, Trial
from events.bus import Bus, Message
from events.dead import DeadLetter, letters
from events.envelope import HEADERS, Envelope, Event, begin, derive_id
from events.errors import Reject, Unreadable
from events.nats import NatsBus
from events.registry import Function, Registry
from events.streams import Retention, provision
from events.testing import MemoryBus
from events.worker import Worker
from tests.events.servers import NatsServer, nats_server

DEADLINE = 20.0
FAST = Policy(attempts=3, suspect_after=3, retry_base=0.05, retry_max=0.2, ack_wait=1.0, grace=10.0)

WEIGHTS = {"premium": 8.0, "standard": 4.0, "bulk": 1.0}
"""The domain's lanes."""

on_both = pytest.mark.parametrize("kind", ["memory", "nats"])
"""The same promise on the bus in memory and on NATS."""


class Fact(BaseModel):
    """What all events of the domain share."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    parcel: str
    note: str = ""

    @classmethod
    def type(cls) -> str:
        """`toy.sent.v1`."""
        return f"toy.{cls.__name__.lower()}.v1"

    def about(self) -> str:
        """The parcel."""
        return self.parcel

    def part(self) -> str | None:
        """None: the function's name."""
        return None

    def basis(self) -> str | None:
        """None: the input's id."""
        return None

    def variant(self) -> str:
        """Nothing that may differ."""
        return ""


class Sent(Fact):
    """A parcel was sent."""


class Weighed(Fact):
    """A parcel was weighed."""

    scale: str = ""

    def variant(self) -> str:
        """Scales differ."""
        return self.scale


class Labelled(Fact):
    """One of a parcel's labels was printed."""

    label: int

    def part(self) -> str | None:
        """Labels of one parcel are told apart by their number."""
        return f"label-{self.label}"


class Delivered(Fact):
    """A parcel arrived, whatever way it took."""

    def basis(self) -> str | None:
        """The same event, whichever input it follows from."""
        return self.parcel


class Refused(Fact):
    """A parcel was refused."""

    code: str


class Lost(Fact):
    """A function gave up on a parcel."""

    function: str
    letter: str


class Note(BaseModel):
    """An input from elsewhere: the stream UPLOADS."""

    parcel: str


class Elsewhere(Exception):
    """A dependency is down, as an adapter of the domain says it."""

    dependency = "scale"


MODELS: dict[str, type[Any]] = {model.type(): model for model in (Sent, Weighed, Labelled, Delivered, Refused, Lost)}


def subject(event: Event, envelope: Envelope) -> str:
    """As `media.<event>.<kind>.<lane>.<id>.<run>.<part>`."""
    name = type(event).__name__.lower()
    return f"media.{name}.box.{envelope.lane}.{envelope.subject}.{envelope.run}.{envelope.part}"


def filters(model: type[Any], kinds: tuple[str, ...], lane: str) -> tuple[str, ...]:
    """The subjects that carry an event."""
    if model is Fact and not lane:
        return ("media.>",)
    name = "*" if model is Fact else model.__name__.lower()
    return tuple(f"media.{name}.{kind}.{f'{lane}.>' if lane else '>'}" for kind in kinds or ("*",))


def application(**changes: Any) -> Application:
    """The domain as the runtime is told about it; the context of a handler is its cause."""

    async def refused(_function: Function, envelope: Envelope, _event: Any, error: Any) -> Event:
        return Refused(parcel=envelope.subject, code=error.code)

    def lost(function: Function, envelope: Envelope, _event: Any, letter: DeadLetter) -> Event:
        return Lost(parcel=envelope.subject, function=function.name, letter=letter.letter_id)

    def noted(message: Message) -> tuple[Envelope, Note]:
        try:
            note = Note.model_validate_json(message.data)
        except ValueError as error:
            raise Unreadable(f"not a note: {error}") from error
        event = Sent(parcel=note.parcel)
        return begin(event, event_id=derive_id("note", note.parcel), source="note", lane="standard"), note

    def found(note: Note, _cause: Envelope) -> Outgoing:
        return Outgoing("minio.found", note.model_dump_json().encode(), note.parcel)

    def context(_function: Function, envelope: Envelope) -> Envelope:
        return envelope

    told: dict[str, Any] = {
        "models": MODELS,
        "subject": subject,
        "filters": filters,
        "context": context,
        "outcomes": {Reject: refused},
        "failed": lost,
        "unavailable": (Elsewhere,),
        "sources": {Note: Source("UPLOADS", ("minio.>",), noted)},
        "encoders": {Note: found},
        "lanes": WEIGHTS,
    }
    return Application(**(told | changes))


class Switch:
    """A dependency that a test turns off and on; counts how often it was probed."""

    def __init__(self, *, up: bool = True) -> None:
        self.up = up
        self.probes = 0

    async def probe(self) -> None:
        """Raise if it is off."""
        self.probes += 1
        if not self.up:
            raise ConnectionError


async def until(condition: Callable[[], Awaitable[object]], what: str, *, seconds: float = DEADLINE) -> None:
    """Return when the condition holds; fail, naming it, when it doesn't within `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await condition():
        assert loop.time() < deadline, f"{what}: not within {seconds} s"
        await asyncio.sleep(0.01)


@dataclass(slots=True)
class Post:
    """A provisioned bus and the workers on it, as a test sees them."""

    bus: Bus
    functions: list[Function]
    application: Application
    policy: Policy
    server: NatsServer | None = None
    workers: list[Worker] = field(default_factory=list[Worker])

    async def work(self, policy: Policy | None = None, bus: Bus | None = None) -> Worker:
        """Start one more worker: another process, as far as the bus knows."""
        worker = Worker(bus or self.bus, self.application, self.functions, policy or self.policy)
        await worker.start()
        self.workers.append(worker)
        return worker

    async def send(
        self, *parcels: str, note: str = "", run: str = "0", lane: str = "standard", **options: Any
    ) -> list[Envelope]:
        """Publish `sent` of each parcel."""
        sent: list[Envelope] = []
        for parcel in parcels:
            event = Sent(parcel=parcel, note=note)
            envelope = begin(
                event, event_id=derive_id("sent", parcel, run), source="tests", lane=lane, run=run, **options
            )
            await self.bus.publish(subject(event, envelope), envelope.encode(), message_id=envelope.id, headers=HEADERS)
            sent.append(envelope)
        return sent

    async def events(self, name: str = "*", parcel: str = "*") -> list[dict[str, Any]]:
        """Events in the stream's order."""
        found = self.bus.read("MEDIA", [f"media.{name}.*.*.{parcel}.>"])
        return [from_json(stored.data) async for stored in found]

    async def event(self, name: str, parcel: str = "*") -> dict[str, Any]:
        """The first such event, waited for."""

        async def there() -> object:
            return await self.bus.last("MEDIA", [f"media.{name}.*.*.{parcel}.>"])

        await until(there, f"{name} of {parcel}")
        return (await self.events(name, parcel))[0]

    async def letters(self) -> list[DeadLetter]:
        """Dead letters, oldest first."""
        return [letter async for _, letter in letters(self.bus)]

    async def trial(self, function: str, sequence: int, stream: str = "MEDIA") -> Trial | None:
        """What is written of a delivery."""
        return await Attempts(self.bus).load(function, stream, sequence)

    async def settled(self, stream: str = "MEDIA", *, seconds: float = DEADLINE) -> None:
        """Return when every message of the stream is acknowledged by every consumer."""

        async def idle() -> bool:
            return all(not state.pending and not state.unacknowledged for state in await self.bus.state(stream))

        await until(idle, "every message acknowledged", seconds=seconds)


@asynccontextmanager
async def post(
    kind: str,
    directory: Path,
    registry: Registry,
    *,
    policy: Policy = FAST,
    workers: int = 1,
    told: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Post]:
    """A bus in memory or a fresh NATS, provisioned for the functions, with so many workers; drained at the end."""
    async with _bus(kind, directory) as (bus, server):
        functions = list(registry)
        place = Post(bus, functions, application(**(told or {})), policy, server)
        await provision(bus, place.application, functions, Retention(), policy.ack_wait)
        for _ in range(workers):
            await place.work()
        try:
            yield place
        finally:
            for worker in place.workers:
                worker.policy = Policy(grace=0)
                await worker.drain()


@asynccontextmanager
async def _bus(kind: str, directory: Path) -> AsyncGenerator[tuple[Bus, NatsServer | None]]:
    if kind == "memory":
        yield MemoryBus(), None
        return
    with nats_server(directory, sync="10s") as server:
        bus = await NatsBus.connect(server.url, name="tests")
        try:
            yield bus, server
        finally:
            await bus.aclose()


def counted(function: str, outcome: str) -> float:
    """How many deliveries of a function ended so, in this process."""
    labels = {"function": function, "outcome": outcome}
    return REGISTRY.get_sample_value("tidegate_deliveries_total", labels) or 0.0
