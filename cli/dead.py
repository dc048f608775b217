"""`tidegate dead`: what functions gave up on, and giving it to them again."""

from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from uuid_utils import uuid7

from cli.connect import connected, settings
from cli.failures import PROBLEM, USAGE, CommandFailed
from cli.lines import SHORT
from cli.output import emit, note, out, shown
from cli.printable import printable_lines
from events import dead
from events.bus import Bus, Stored
from events.dead import DeadLetter
from events.lanes import function_of

Held = tuple[Stored, DeadLetter]


async def show_all(function: str | None, data: Path | None, *, as_json: bool) -> int:
    """List dead letters, oldest first; 1 if there are any."""
    async with connected(settings(data), "dead") as bus:
        held = await _held(bus, function)
    if as_json:
        emit({"dead_letters": [_short(letter) for _, letter in held]})
    elif held:
        out().print(_table(held))
        note("`tidegate dead show ID` says more, `tidegate dead retry ID` tries again.")
    else:
        out().print(Text("No dead letters.", style="green"))
    return PROBLEM if held else 0


async def show(wanted: str, data: Path | None, *, as_json: bool) -> int:
    """Show one dead letter whole."""
    async with connected(settings(data), "dead") as bus:
        _, letter = _one(await _held(bus, None), wanted)
    if as_json:
        emit(letter.model_dump(mode="json"))
        return 0
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "id": letter.letter_id,
        "time": f"{letter.time.astimezone():%Y-%m-%d %H:%M:%S}",
        "function": f"{letter.function}, version {letter.functionversion}",
        "media": letter.about,
        "input": f"{letter.subject}, sequence {letter.sequence} of {letter.stream}",
        "attempts": f"{letter.attempts}",
    }
    for name, value in rows.items():
        table.add_row(name, shown(value))
    table.add_row("error", Text(printable_lines(f"{letter.error}: {letter.message}"), style="bold red"))
    out().print(table)
    if letter.traceback.strip():
        out().print(
            Panel(
                Text(printable_lines(letter.traceback.rstrip())),
                title="traceback",
                title_align="left",
                border_style="dim",
            )
        )
    note(f"`tidegate trace {letter.about}` shows the media, `tidegate dead retry {letter.letter_id}` tries again.")
    return 0


async def retry(wanted: list[str], data: Path | None, *, everything: bool, as_json: bool) -> int:
    """Give events to their functions again and remove the letters; 1 if one can't be given."""
    retried: list[str] = []
    failed: dict[str, str] = {}
    async with connected(settings(data), "dead") as bus:
        held = await _held(bus, None)
        chosen = held if everything else [_one(held, each) for each in dict.fromkeys(wanted)]
        taken = {
            (stream, function_of(state.name))
            for stream in {letter.stream for _, letter in chosen}
            for state in await bus.state(stream)
        }
        for stored, letter in chosen:
            if (letter.stream, letter.function) not in taken:
                # Given to nobody, it would be gone with its letter.
                failed[letter.letter_id] = (
                    f"Dead letter {letter.letter_id} is kept: {letter.function} has no consumer. "
                    "Install the function and run `tidegate provision`, then retry."
                )
                continue
            try:
                await dead.retry(bus, stored, letter, f"retry/{uuid7()}")
            except ValueError as error:
                failed[letter.letter_id] = str(error)
            else:
                retried.append(letter.letter_id)
                if not as_json:
                    out().print(shown(f"{letter.letter_id}  given to {letter.function} again, for {letter.about}"))
    if as_json:
        emit({"retried": retried, "failed": failed})
    else:
        for reason in failed.values():
            out().print(shown(reason, "bold red"))
        if not chosen:
            out().print(Text("No dead letters.", style="green"))
    return PROBLEM if failed else 0


async def _held(bus: Bus, function: str | None) -> list[Held]:
    if function is not None and not function.isidentifier():
        raise CommandFailed(USAGE, f"{function!r} is no function's name.")
    return [each async for each in dead.letters(bus, function)]


def _one(held: list[Held], wanted: str) -> Held:
    found = [each for each in held if each[1].letter_id.startswith(wanted)]
    exact = [each for each in found if each[1].letter_id == wanted]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise CommandFailed(PROBLEM, f"There is no dead letter {wanted}: `tidegate dead ls` lists them.")
    raise CommandFailed(USAGE, f"{len(found)} dead letters begin with {wanted}: give more of the id.")


def _short(letter: DeadLetter) -> dict[str, Any]:
    return letter.model_dump(mode="json", exclude={"traceback", "event", "payload"})


def _table(held: list[Held]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("id", no_wrap=True)
    table.add_column("time", style="dim", no_wrap=True)
    table.add_column("function", style="bold", no_wrap=True)
    table.add_column("tries", justify="right")
    table.add_column("media", overflow="fold")
    table.add_column("error", overflow="fold", style="red")
    for _, letter in held:
        table.add_row(
            letter.letter_id[:SHORT],
            f"{letter.time.astimezone():%m-%d %H:%M:%S}",
            shown(letter.function),
            f"{letter.attempts}",
            shown(letter.about),
            shown(f"{letter.error}: {letter.message.splitlines()[0] if letter.message else ''}"[:200]),
        )
    return table
