"""What the runtime is told about its domain. The runtime itself knows nothing of media."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from events.bus import Message
from events.dead import DeadLetter
from events.envelope import Envelope, Event
from events.registry import Function

Probe = Callable[[], Awaitable[None]]
"""Returns if the dependency answers, raises if it doesn't. Has its own short timeout."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where inputs of one model come from, when they are no events of the bus itself."""

    stream: str
    subjects: tuple[str, ...]
    decode: Callable[[Message], tuple[Envelope, Any]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish."""

    subject: str
    data: bytes
    message_id: str | None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Application:
    """The domain, injected.

    Attributes:
        models: event models by CloudEvents type.
        subject: where an event is published.
        filters: the subjects that carry a model, narrowed to kinds, and to a lane if one is named.
        context: what a handler gets beside its event.
        outcomes: exceptions that are normal outcomes, and the event (if any) each becomes.
        failed: the event that says a function gave up, if there is anything to say it about.
        unavailable: exceptions of adapters that mean a dependency is down; each has a `dependency`.
        probes: by dependency, whether it answers.
        sources: inputs that come from elsewhere.
        encoders: outputs that go elsewhere.
        lanes: who waits for whom where a function has lanes: each one's weight. All lanes there are.
    """

    models: Mapping[str, type[Any]]
    subject: Callable[[Event, Envelope], str]
    filters: Callable[[type[Any], tuple[str, ...], str], tuple[str, ...]]
    context: Callable[[Function, Envelope], Any]
    outcomes: Mapping[type[Exception], Callable[[Function, Envelope, Any, Any], Awaitable[Event | None]]] = field(
        default_factory=dict[type[Exception], Callable[[Function, Envelope, Any, Any], Awaitable[Event | None]]]
    )
    failed: Callable[[Function, Envelope, Any, DeadLetter], Event | None] = lambda _f, _e, _d, _l: None
    unavailable: tuple[type[Exception], ...] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict[str, Probe])
    sources: Mapping[type[Any], Source] = field(default_factory=dict[type[Any], Source])
    encoders: Mapping[type[Any], Callable[[Any, Envelope], Outgoing]] = field(
        default_factory=dict[type[Any], Callable[[Any, Envelope], Outgoing]]
    )
    lanes: Mapping[str, float] = field(default_factory=dict[str, float])
