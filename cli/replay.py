"""`tidegate replay`: past events, given to a function again as a new run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import category

from rich.progress import track
from rich.table import Table
from rich.text import Text

from cli.connect import connected, objects_of, settings
from cli.failures import PROBLEM, USAGE, CommandFailed
from cli.graph import takes
from cli.history import History, read_history
from cli.lines import SHORT, clock, kind_of, moment
from cli.output import emit, err, note, out, shown, styled
from cli.trace import checked
from cli.vocabulary import by_type
from events.registry import Function, load
from events.replay import again, new_run
from schemas.document import TOMBSTONES, CloudEvent, event_name
from schemas.events import MediaEvent, Planned

NAME_CHARACTERS = 255
DISCARDED = "discard-rejected"
"""The part of what says that a refused file's bytes are gone."""


@dataclass(frozen=True, slots=True)
class Given:
    """What of one media was given, or why nothing was."""

    media_id: str
    event: CloudEvent | None
    problem: str = ""


async def replay(ids: Sequence[str], to: str, name: str, data: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Give each media's newest event that the function takes to it; 1 if a media has none."""
    function = _function(to)
    _checked_name(name)
    for media_id in ids:
        checked(media_id)
    run = new_run()
    found = settings(data)
    given: list[Given] = []
    async with connected(found, "replay") as bus, objects_of(found) as objects:
        shown = track(dict.fromkeys(ids), "Replaying", console=err(), disable=as_json or len(ids) == 1, transient=True)
        for media_id in shown:
            history = await read_history(media_id, bus, objects)
            event = newest_taken(function, history.events)
            if event is None:
                known = ", ".join(dict.fromkeys(event_name(each) for each in history.events)) or "nothing"
                given.append(Given(media_id, None, f"has no event that {to} takes (known: {known})"))
                continue
            if gone := _gone(function, history):
                given.append(Given(media_id, None, gone))
                continue
            if not dry_run:
                await again(to, event, run=run, name=name).publish(bus, f"replay/{run}")
            given.append(Given(media_id, event))
    if as_json:
        emit(
            {"run": run, "to": to, "name": name or None, "dry_run": dry_run, "media": [_plain(each) for each in given]}
        )
    else:
        _show(given, to, run, dry_run=dry_run)
    return PROBLEM if any(each.event is None for each in given) else 0


def newest_taken(function: Function, events: Sequence[CloudEvent]) -> CloudEvent | None:
    """Of a media's events, the one that a replay to this function begins with: of the newest run, the newest."""
    known = by_type()
    fitting = [
        event
        for event in events
        if (model := known.get(event["type"])) is not None and takes(function, model, kind_of(event))
    ]
    return max(fitting, key=lambda event: (event["run"], event["time"], event["id"]), default=None)


def _gone(function: Function, history: History) -> str:
    """Why nothing would follow: the file is gone, and the function isn't one that takes the news of that."""
    state = history.fold.state()
    if state not in TOMBSTONES and not (state == "rejected" and DISCARDED in history.fold.cells):
        return ""
    if any(event_name(event) == state and newest_taken(function, [event]) for event in history.events):
        return ""
    return f"is {state}: {function.name} would find no file, and nothing would follow"


def _checked_name(name: str) -> None:
    """Refuse what could not stand in an event.

    Raises:
        CommandFailed: It is too long, or has what a CloudEvents string may not hold: control characters, or the halves
            of pairs that a terminal's wrong encoding leaves.
    """
    if len(name) > NAME_CHARACTERS:
        raise CommandFailed(USAGE, f"The name has more than {NAME_CHARACTERS} characters: shorten it.")
    if any(category(character) in {"Cc", "Cs"} for character in name):
        raise CommandFailed(USAGE, f"The name {name!r} has control characters: leave them out.")


def _function(name: str) -> Function:
    try:
        function = load().select([name])[0]
    except ValueError as error:
        raise CommandFailed(USAGE, f"{error}.") from None
    if not any(issubclass(model, MediaEvent) for model in function.inputs):
        raise CommandFailed(
            USAGE, f"{name} takes no events, so nothing can be replayed to it: try one that `tidegate functions` shows."
        )
    if all(issubclass(model, Planned) for model in function.inputs):
        raise CommandFailed(
            USAGE, f"{name} works on pieces, which are gone once the whole is made: replay it --to plan_video."
        )
    return function


def _plain(given: Given) -> dict[str, Any]:
    event = given.event
    return {
        "media_id": given.media_id,
        "event": event_name(event) if event else None,
        "event_id": event["id"] if event else None,
        "problem": given.problem or None,
    }


def _show(given: Sequence[Given], to: str, run: str, *, dry_run: bool) -> None:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for each in given:
        if each.event is None:
            table.add_row(shown(each.media_id), shown(each.problem, "yellow"), "", "")
        else:
            at = clock(moment(each.event))
            table.add_row(
                shown(each.media_id), styled(event_name(each.event)), Text(f"of {at}", style="dim"), f"→ {to}"
            )
    out().print(table)
    if dry_run:
        note("Nothing was given: --dry-run.")
    elif any(each.event for each in given):
        note(f"Run {run} (…{run[-SHORT:]}); `tidegate trace ID` shows what follows.")
