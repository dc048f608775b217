"""`tidegate functions`: what takes what, what it makes of it, and how far behind it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.application import application
from cli.connect import connected, settings
from cli.failures import PROBLEM, explain
from cli.graph import also_emitted, flowchart, in_order, loose_ends, name_of
from cli.output import emit, note, out
from events.bus import ConsumerState
from events.lanes import consumer_names
from events.registry import Function, load
from events.streams import stream_of


async def functions(data: Path | None, *, check: bool, mermaid: bool, as_json: bool) -> int:
    """Show the graph; with `check` 1 if it has loose ends."""
    installed = in_order(load())
    found = loose_ends(installed) if check else []
    if mermaid:
        out().print(flowchart(installed), markup=False, soft_wrap=True, end="")
        for finding in found:
            note(f"{finding.function}: {finding.event} {finding.problem}")
        return PROBLEM if found else 0
    states = await _states(installed, data)
    if as_json:
        emit(
            {
                "functions": [_described(each, states) for each in installed],
                "reachable": states is not None,
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


async def _states(installed: Sequence[Function], data: Path | None) -> dict[str, ConsumerState] | None:
    """How the consumers stand, by name; None without servers."""
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


def _described(function: Function, states: dict[str, ConsumerState] | None) -> dict[str, Any]:
    found = _by_lane(function, states or {})
    return {
        "name": function.name,
        "does": _does(function),
        "takes": [name_of(model) for model in function.inputs],
        "kinds": list(function.kinds),
        "every": function.every,
        "emits": [name_of(model) for model in function.outputs],
        "also_emits": [name_of(model) for model in also_emitted(function)],
        "timeout": function.timeout,
        "concurrency": function.concurrency,
        "cpu": function.cpu,
        "background": function.background,
        "consumer": _figures(found.get("")),
        "lanes": {lane: _figures(state) for lane, state in found.items()} if function.lanes else None,
    }


def _by_lane(function: Function, states: dict[str, ConsumerState]) -> dict[str, ConsumerState | None]:
    """How a function's consumers stand, by lane; of one without lanes its only one, for lane ""."""
    return {lane: states.get(name) for lane, name in consumer_names(function, application().lanes).items()}


def _figures(state: ConsumerState | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {
        "stream": state.stream,
        "pending": state.pending,
        "unacknowledged": state.unacknowledged,
        "redelivered": state.redelivered,
        "workers": state.waiting,
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
        found = _by_lane(function, states or {})
        row: list[str | Text] = [takes, function.name, _emits(function)]
        if states is not None and not function.lanes:
            row += _standing(found[""])
        table.add_row(*row)
        if states is not None and function.lanes:
            busy = any(state is not None and (state.waiting or state.unacknowledged) for state in found.values())
            for lane, state in found.items():
                table.add_row("", Text(f"  {lane}", style="dim"), "", *_standing(state, busy=busy))
    return table


def _emits(function: Function) -> Text:
    emits, also = (", ".join(map(name_of, models)) for models in (function.outputs, also_emitted(function)))
    return Text.assemble(emits or ("" if also else "-"), (f"{' ' if emits else ''}+ {also}" if also else "", "dim"))


def _standing(state: ConsumerState | None, *, busy: bool = False) -> list[str | Text]:
    """What waits, what runs and who asks for more; `busy`: whoever serves this lane is at work in another."""
    if state is None:
        return ["", "", Text("no consumer", style="bold red")]
    if state.waiting:
        workers = Text(f"{state.waiting}")
    elif state.unacknowledged or busy:
        workers = Text("busy", style="dim")
    else:
        workers = Text("none", style="bold red")
    return [
        Text(f"{state.pending}", style="yellow" if state.pending else "dim"),
        Text(f"{state.unacknowledged}", style="" if state.unacknowledged else "dim"),
        workers,
    ]
