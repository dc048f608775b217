"""Who has the next say about a media: a pure function of its events and of who takes what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from schemas.document import TERMINAL_STATES, CloudEvent, Fold, event_name
from schemas.events import MediaEvent
from schemas.products import open_products


class Installed(Protocol):
    """What the runtime knows of a function (`events.registry.Function`)."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def inputs(self) -> tuple[type[Any], ...]: ...  # noqa: D102
    @property
    def outputs(self) -> tuple[type[Any], ...]: ...  # noqa: D102
    @property
    def kinds(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def products(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def lanes(self) -> bool: ...  # noqa: D102
    @property
    def batch(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Taker:
    """A function, as far as media wait for it.

    Attributes:
        name: The function's.
        takes: The names of the events it takes.
        emits: Of those it emits.
        kinds: Which kinds it is for; none: all.
        products: What it makes, after promotion.
        lanes: Whether each lane has a queue of its own.
    """

    name: str
    takes: frozenset[str] = field(default=frozenset())
    emits: frozenset[str] = field(default=frozenset())
    kinds: frozenset[str] = field(default=frozenset())
    products: frozenset[str] = field(default=frozenset())
    lanes: bool = False

    @classmethod
    def of(cls, function: Installed) -> "Taker":
        """A function of the registry."""
        return cls(
            function.name,
            _names(function.inputs),
            _names(function.outputs),
            frozenset(function.kinds),
            frozenset(function.products),
            function.lanes,
        )


CLIENT: Final = Taker("client")
"""Whoever asked for the upload and hasn't sent it."""


def takers(functions: Iterable[Installed]) -> tuple[Taker, ...]:
    """Those of the functions that a media may wait for; nobody waits for who takes events in batches (`record`)."""
    return tuple(Taker.of(function) for function in functions if not function.batch)


def waiting(fold: Fold, events: Iterable[CloudEvent], among: Sequence[Taker], *, complete: bool = True) -> list[Taker]:
    """Who has the next say; nobody in a terminal state.

    Args:
        fold: The media.
        events: All that are known of it, those that lost their cell included.
        among: Who is installed.
        complete: Whether those are all events: where some are missing, whoever makes what is missing may be waited for.
    """
    state = fold.state()
    if state in TERMINAL_STATES:
        return []
    if state == "pending":
        return [CLIENT]
    identity: dict[str, Any] = fold.known().get("identity") or {}
    kind = identity.get("kind", "unknown")
    known = [taker for taker in among if not taker.kinds or kind in taker.kinds]
    newest_first = sorted(events, key=lambda event: (event["time"], event["id"]), reverse=True)
    answers = {(event.get("causationid"), _said_by(event)) for event in newest_first}
    unanswered = [
        [taker for taker in known if event_name(event) in taker.takes and (event["id"], taker.name) not in answers]
        for event in newest_first
    ]
    if fold.named("promoted") is None:
        return next((each for each in unanswered if each), list[Taker]())
    missing = open_products(fold)
    if not missing:
        return [taker for taker in known if "ready" in taker.emits]
    if not complete:
        return [taker for taker in known if taker.products & missing]
    # Products are made side by side, so it isn't the newest event that counts.
    makers = dict.fromkeys(taker for each in unanswered for taker in each if taker.products & missing)
    return [maker for maker in makers if not any(_feeds(other, maker) for other in makers)]


def unmade(fold: Fold, among: Sequence[Taker]) -> list[str]:
    """The promised products that none of these makes: what is missing as long as nobody installs who does."""
    made = frozenset[str]().union(*(taker.products for taker in among))
    return sorted(open_products(fold) - made)


def _feeds(maker: Taker, other: Taker) -> bool:
    """Whether one product's maker still makes what another of its makers waits for: the fan-in has its say last."""
    return (
        maker is not other
        and bool(maker.products & other.products)
        and bool((maker.emits & other.takes) - _ENDS)
        and not (other.emits & maker.takes) - _ENDS
    )


_ENDS: Final = frozenset({"done", "skipped", "failed", "promoted"})


def _names(models: Iterable[type[Any]]) -> frozenset[str]:
    return frozenset(model.event for model in models if issubclass(model, MediaEvent) and model is not MediaEvent)


def _said_by(event: CloudEvent) -> str:
    return str(event["source"]).rpartition("/")[2]
