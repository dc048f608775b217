"""`tidegate functions`: what takes what, what it makes of it, and how far behind it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.application import application
from cli.connect import connected, settings
from cli.failures import PROBLEM, explain
from cli.output import emit, note, out
from events.bus import ConsumerState
from events.invoke import Invoke
from events.registry import Function, Tick, load
from events.streams import stream_of
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


async def functions(data: Path | None, *, check: bool, mermaid: bool, as_json: bool) -> int:
    """Show the graph; with `check` 1 if it has loose ends."""
    installed = list(load())
    found = loose_ends(installed) if check else []
    if mermaid:
        out().print(flowchart(installed), markup=False, soft_wrap=True, end="")
        return PROBLEM if found else 0
    states = await _states(installed, data)
    if as_json:
        emit(
            {
                "functions": [_described(each, states.get(each.name) if states else None) for each in installed],
                "lag_known": states is not None,
                "findings": [
                    {"function": each.function, "event": each.event, "problem": each.problem} for each in found
                ],
            }
        )
    else:
        out().print(_table(installed, states))
        for finding in found:
            out().print(Text(f"{finding.function}: {finding.event} {finding.problem}", style="bold yellow"))
        if check and not found:
            out().print(Text("Every output is taken, and every input is emitted.", style="green"))
    return PROBLEM if found else 0


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


def name_of(model: type) -> str:
    """An event's name; `every event` for their base."""
    if model is MediaEvent:
        return "every event"
    return model.__name__.lower()


def _is_last(model: type) -> bool:
    return model is Invoke or model in LAST_WORDS or bool(getattr(model, "terminal", False))


async def _states(installed: Sequence[Function], data: Path | None) -> dict[str, ConsumerState] | None:
    """How each function's consumer stands; None without servers."""
    told = application()
    try:
        async with connected(settings(data), "functions") as bus:
            streams = {stream_of(function, told) for function in installed}
            return {state.name: state for stream in sorted(streams) for state in await bus.state(stream)}
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        note(f"Without lag and workers: {explained[1]}")
        return None


def _described(function: Function, state: ConsumerState | None) -> dict[str, Any]:
    return {
        "name": function.name,
        "does": _does(function),
        "takes": [name_of(model) for model in function.inputs],
        "kinds": list(function.kinds),
        "every": function.every,
        "emits": [name_of(model) for model in function.outputs],
        "timeout": function.timeout,
        "concurrency": function.concurrency,
        "consumer": None
        if state is None
        else {
            "stream": state.stream,
            "pending": state.pending,
            "unacknowledged": state.unacknowledged,
            "redelivered": state.redelivered,
            "workers": state.waiting,
        },
    }


def _does(function: Function) -> str:
    return (function.handler.__doc__ or "").strip().split("\n")[0]


def _table(installed: Sequence[Function], states: dict[str, ConsumerState] | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("takes", style="cyan", overflow="fold")
    table.add_column("function", style="bold", no_wrap=True)
    table.add_column("emits", style="green", overflow="fold")
    if states is not None:
        for name in ("pending", "running", "workers"):
            table.add_column(name, justify="right", no_wrap=True)
    for function in installed:
        takes = f"every {function.every:g} s" if function.every else ", ".join(map(name_of, function.inputs))
        if function.kinds:
            takes += f" ({', '.join(function.kinds)})"
        row: list[str | Text] = [takes, function.name, ", ".join(map(name_of, function.outputs)) or "-"]
        if states is not None:
            row += _standing(states.get(function.name))
        table.add_row(*row)
    return table


def _standing(state: ConsumerState | None) -> list[str | Text]:
    if state is None:
        return ["", "", Text("no consumer", style="bold red")]
    idle = not state.waiting and not state.unacknowledged
    return [
        Text(f"{state.pending}", style="yellow" if state.pending else "dim"),
        Text(f"{state.unacknowledged}", style="" if state.unacknowledged else "dim"),
        Text("none", style="bold red") if idle else Text(f"{state.waiting}"),
    ]
