"""Which kinds of media an event is about: what a function narrows is narrow in all that follows from it."""

from collections.abc import Collection, Iterable
from typing import get_args

from events.registry import Function
from schemas.events import MediaEvent
from schemas.model import Kind

UNKNOWN = frozenset({"unknown"})
EVERY: frozenset[str] = frozenset(get_args(Kind))


def possible(model: type) -> frozenset[str]:
    """The kinds that an event's subject can name: `unknown` where the event has no identity."""
    if model is MediaEvent:
        return EVERY
    identity = model.model_fields.get("identity") if issubclass(model, MediaEvent) else None
    if identity is None:
        return UNKNOWN
    return EVERY - UNKNOWN if identity.is_required() else EVERY


class Kinds:
    """Which kinds come and go between these functions.

    Args:
        functions: All of them.
        outside: Inputs that come from elsewhere.
    """

    def __init__(self, functions: Collection[Function], outside: Iterable[type]) -> None:
        self._functions = functions
        self._emitted = {model: possible(model) for model in outside}
        self._said = {model for function in functions for model in function.outputs}.union(self._emitted)
        known: dict[type, frozenset[str]] = {}
        while known != self._emitted:
            known = dict(self._emitted)
            for function in functions:
                for model in function.outputs:
                    self._emitted[model] = self.emitted(model) | self.emitted_by(function, model)

    def emitted(self, model: type) -> frozenset[str]:
        """The kinds of which an event comes from anybody."""
        return self._emitted.get(model, frozenset())

    def emitted_by(self, function: Function, model: type) -> frozenset[str]:
        """The kinds of which a function can emit an event: those it gets, or any where it gets what has none yet."""
        come = frozenset[str]().union(*(self._coming(function, taken) for taken in function.inputs))
        if not come or UNKNOWN & come:
            return possible(model) if come else frozenset()
        return come & possible(model) or possible(model) & UNKNOWN

    def taken(self, model: type) -> frozenset[str]:
        """The kinds of which anybody takes an event. Whoever takes every event doesn't count."""
        return frozenset[str]().union(*(narrowed(one) for one in self._functions if model in one.inputs))

    def _coming(self, function: Function, model: type) -> frozenset[str]:
        # What nobody says is reported where it is taken; what follows from it is looked at as if it came.
        come = self.emitted(model) if model in self._said else possible(model)
        return come & narrowed(function)


def narrowed(function: Function) -> frozenset[str]:
    """The kinds that a function takes."""
    return frozenset(function.kinds) or EVERY
