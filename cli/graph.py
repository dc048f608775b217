"""The graph of the functions: who takes what, and what follows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from events.invoke import Invoke
from events.registry import Function, Tick
from schemas.events import Deleted, Discarded, Failed, MediaEvent, Rejected, Requested
from schemas.notification import Notification

FROM_OUTSIDE = frozenset({Requested, Deleted, Failed, Rejected, Notification, Tick})
"""Inputs that come from elsewhere: gateway, MinIO, schedules, and what the runtime says of any function."""

LAST_WORDS = frozenset({Discarded})
"""Beside terminal events, what is said for whoever follows and asked of nobody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the graph that leads nowhere, or comes from nowhere."""

    function: str
    event: str
    problem: str


def in_order(installed: Iterable[Function]) -> list[Function]:
    """The functions in the order of a file's way; those that take everything or nothing come last."""
    known = sorted(installed, key=lambda function: function.name)
    return sorted(known, key=lambda function: _depth(function, known, frozenset()))


def _depth(function: Function, known: Sequence[Function], behind: frozenset[str]) -> int:
    """How many functions an input has come through, at most."""
    if MediaEvent in function.inputs or function.every is not None:
        return len(known)
    before = [
        one
        for one in known
        if one.name not in behind and one.every is None and set(one.outputs).intersection(function.inputs)
    ]
    seen = behind | {function.name}
    return max((1 + _depth(one, known, seen) for one in before if one.name not in seen), default=0)


def loose_ends(installed: Sequence[Function]) -> list[Finding]:
    """Outputs that no function takes and inputs that nobody emits.

    Whoever takes every event (`record`) doesn't count: an event that only it takes leads nowhere.
    """
    taken = {model for function in installed for model in function.inputs}
    emitted = {model for function in installed for model in function.outputs} | FROM_OUTSIDE
    found: list[Finding] = []
    for function in installed:
        found += [
            Finding(function.name, name_of(model), "is emitted and no function takes it")
            for model in function.outputs
            if not _is_last(model) and model not in taken
        ]
        found += [
            Finding(function.name, name_of(model), "is taken and nobody emits it")
            for model in function.inputs
            if model is not MediaEvent and model not in emitted
        ]
    return found


def flowchart(installed: Iterable[Function]) -> str:
    """The graph for Mermaid (https://mermaid.js.org/syntax/flowchart.html)."""
    installed = list(installed)
    lines = ["flowchart LR", *(f"    {function.name}[{function.name}]" for function in installed)]
    for function in installed:
        lines += [
            f"    {source} --> {function.name}" for model in function.inputs if (source := _source(function, model))
        ]
        for model in function.outputs:
            targets = [one.name for one in installed if model in one.inputs]
            if model is Invoke:
                targets = ["any([any function])"]
            lines += [
                f"    {function.name} -- {name_of(model)} --> {target}" for target in targets or ["out([subscribers])"]
            ]
    return "\n".join(lines) + "\n"


def _source(function: Function, model: type) -> str:
    """Where an input that no function emits comes from."""
    if model is MediaEvent:
        return "events([every event])"
    if model is Tick:
        return f"clock([every {function.every:g} s])"
    if model is Notification:
        return "minio([MinIO]) -- notification"
    return f"gateway([gateway]) -- {name_of(model)}" if model in (Requested, Deleted) else ""


def takes(function: Function, model: type) -> bool:
    """Whether a function gets events of a model: of exactly that one (`scanned` is no `uploaded`), or of any."""
    return model in function.inputs or (MediaEvent in function.inputs and issubclass(model, MediaEvent))


def also_emitted(function: Function) -> tuple[type[MediaEvent], ...]:
    """What the runtime says for a function beside its outputs: its refusal, and that it gave up.

    Any function that works on a media's object may raise `Reject` at any time. Whoever announces no failure
    (`record`, `finish`, `discard`) says neither: a dead letter is all there is.
    """
    taken = [model for model in function.inputs if issubclass(model, MediaEvent)]
    if not taken or not function.announces_failure:
        return ()
    refuses = any("object" in model.model_fields for model in taken) and Rejected not in function.outputs
    return (Rejected, Failed) if refuses else (Failed,)


def name_of(model: type) -> str:
    """An event's name; `every event` for their base."""
    if model is MediaEvent:
        return "every event"
    return model.__name__.lower()


def _is_last(model: type) -> bool:
    return model is Invoke or model in LAST_WORDS or bool(getattr(model, "terminal", False))
