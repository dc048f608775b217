"""Every event that can be said here: Tidegate's own, and those of functions that others wrote."""

from collections.abc import Iterable

from events.invoke import Invoke
from events.registry import Function, FunctionsUnusable, Tick, registry
from schemas.events import BY_TYPE, EVENTS, MediaEvent
from schemas.notification import Notification

NO_EVENTS = frozenset({Tick, Notification, Invoke, MediaEvent})
"""What a function may take or emit beside events, and their base."""


def events(functions: Iterable[Function] = registry) -> dict[str, type[MediaEvent]]:
    """The events' models by name: Tidegate's own, then those that only these functions take or emit.

    Raises:
        FunctionsUnusable: a model is no event, or shares its name with another: a reader would take one for the other.
    """
    known = dict(EVENTS)
    for function in functions:
        for model in (*function.inputs, *function.outputs):
            if model in NO_EVENTS:
                continue
            if not issubclass(model, MediaEvent):
                raise FunctionsUnusable(
                    f"{function.name} has {model.__qualname__} ({model.__module__}) among its events, which is none: "
                    "derive it from schemas.events.MediaEvent"
                )
            other = known.setdefault(model.event, model)
            if other is not model:
                raise FunctionsUnusable(
                    f"{function.name} has an event {model.event} ({model.__module__}), and so has {other.__module__}: "
                    "rename one of them"
                )
    return known


def by_type() -> dict[str, type[MediaEvent]]:
    """The models by CloudEvents type, for functions imported so far."""
    return BY_TYPE | {model.type(): model for model in events().values()}
