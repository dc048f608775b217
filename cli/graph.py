"""The graph of the functions: who takes what, and what follows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cli.kinds import Kinds, narrowed
from events.invoke import Invoke
from events.registry import Function, Tick
from schemas.events import Deleted, Failed, MediaEvent, Rejected, Requested, Skipped
from schemas.notification import Notification

FROM_OUTSIDE = frozenset({Requested, Deleted, Failed, Rejected, Skipped, Notification, Tick})
"""Inputs that come from elsewhere: gateway, MinIO, schedules, and what the runtime says of any function."""


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

    Whoever takes every event (`record`) doesn't count: an event that only it takes leads nowhere. Where an event is
    taken for some kinds of media alone, the others must be somebody's too, and those must come from somewhere.
    """
    kinds = Kinds(installed, FROM_OUTSIDE)
    found: list[Finding] = []
    for function in installed:
        for model in function.outputs:
            taken = kinds.taken(model)
            lost = kinds.emitted_by(function, model) - taken
            if lost and not _is_last(model):
                problem = f"is emitted{_for(lost if taken else ())} and no function takes it"
                found.append(Finding(function.name, name_of(model), problem))
        for model in function.inputs:
            emitted = kinds.emitted(model)
            vain = frozenset(function.kinds) - emitted
            if model is not MediaEvent and (vain or not emitted):
                problem = f"is taken{_for(vain if emitted else ())} and nobody emits it"
                found.append(Finding(function.name, name_of(model), problem))
    return found


def flowchart(installed: Iterable[Function]) -> str:
    """The graph for Mermaid (https://mermaid.js.org/syntax/flowchart.html); dotted: what the runtime says for them."""
    installed = list(installed)
    kinds = Kinds(installed, FROM_OUTSIDE)
    lines = ["flowchart LR", *(f"    {function.name}[{function.name}]" for function in installed)]
    for function in installed:
        lines += [
            f"    {source} --> {function.name}" for model in function.inputs if (source := _source(function, model))
        ]
        for model in function.outputs:
            gone = kinds.emitted_by(function, model)
            takers = [one for one in installed if model in one.inputs and gone & narrowed(one)]
            lines += [f"    {function.name} -- {_label(model, one)} --> {one.name}" for one in takers]
            if not takers:
                target = "any([any function])" if model is Invoke else "out([subscribers])"
                lines.append(f"    {function.name} -- {name_of(model)} --> {target}")
        for model in also_emitted(function):
            takers = [one for one in installed if model in one.inputs and narrowed(function) & narrowed(one)]
            lines += [f"    {function.name} -. {_label(model, one)} .-> {one.name}" for one in takers]
    return "\n".join(lines) + "\n"


def _label(model: type, taker: Function) -> str:
    """An event on its way to who takes it, with the kinds where that one takes no others."""
    return f'"{name_of(model)}{_for(taker.kinds)}"' if taker.kinds else name_of(model)


def _for(kinds: Iterable[str]) -> str:
    return f" for {', '.join(sorted(kinds))}" if kinds else ""


def _source(function: Function, model: type) -> str:
    """Where an input that no function emits comes from."""
    if model is MediaEvent:
        return "events([every event])"
    if model is Tick:
        return f"clock([every {function.every:g} s])"
    if model is Notification:
        return "minio([MinIO]) -- notification"
    return f"gateway([gateway]) -- {name_of(model)}" if model in (Requested, Deleted) else ""


def takes(function: Function, model: type, kind: str | None = None) -> bool:
    """Whether a function gets events of a model (and kind): exactly that one (`scanned` is no `uploaded`), or any."""
    if kind is not None and function.kinds and kind not in function.kinds:
        return False
    return model in function.inputs or (MediaEvent in function.inputs and issubclass(model, MediaEvent))


def also_emitted(function: Function) -> tuple[type[MediaEvent], ...]:
    """What the runtime says for a function beside its outputs: its refusal, and that it gave up.

    Any function that works on a media's object may raise `Reject` at any time: of who makes a product it is `skipped`.
    Whoever announces no failure (`record`, `finish`, `discard`) says neither: a dead letter is all there is.
    """
    taken = [model for model in function.inputs if issubclass(model, MediaEvent)]
    if not taken or not function.announces_failure:
        return ()
    if function.products:
        return (Skipped, Failed)
    refuses = any("object" in model.model_fields for model in taken) and Rejected not in function.outputs
    return (Rejected, Failed) if refuses else (Failed,)


def name_of(model: type) -> str:
    """An event's name; `every event` for their base."""
    if model is MediaEvent:
        return "every event"
    return model.__name__.lower()


def _is_last(model: type) -> bool:
    return model is Invoke or any(getattr(model, name, False) for name in ("terminal", "informs"))
