"""`tidegate trace`: everything that happened to a media, and what it waits for."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import compress
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.connect import connected, objects_of, settings
from cli.failures import PROBLEM, USAGE, CommandFailed
from cli.history import Given, History, read_history
from cli.lines import SHORT, function_of, moment, said
from cli.outcome import outcome
from cli.output import clock, emit, err, out, shown, styled
from cli.printable import printable
from events.registry import load
from schemas.document import CloudEvent, event_name
from schemas.products import ProductState
from schemas.subjects import FIRST_RUN
from schemas.waiting import takers, unmade, waiting

Row = tuple[datetime, Text, Text, Text, Text, Text, Text]

NARROW = 120
"""Columns of a terminal that has no room for everything."""
LEFT_OUT = frozenset({"+ms", "id", "cause"})

TOKENS = frozenset(".*> \t\r\n\0")


async def trace(media_id: str, data: Path | None, *, as_json: bool) -> int:
    """Show the timeline; 1 if nothing is known of the media, or it failed."""
    checked(media_id)
    found = settings(data)
    async with connected(found, "trace") as bus, objects_of(found) as objects:
        history = await read_history(media_id, bus, objects)
    if not history.events and not history.letters:
        gaps = f" ({'; '.join(history.gaps)})" if history.gaps else ""
        raise CommandFailed(PROBLEM, f"Nothing is known of a media {media_id}{gaps}.")
    if as_json:
        emit(_report(history))
    else:
        _show(history)
    return PROBLEM if history.fold.state() == "failed" else 0


def checked(media_id: str) -> str:
    """An id that can stand in a subject.

    Raises:
        CommandFailed: It can't.
    """
    if not media_id or TOKENS.intersection(media_id):
        raise CommandFailed(USAGE, f"{media_id!r} is no media id: one looks like 019a3c1e-….")
    return media_id


def waits_for(history: History) -> list[str]:
    """The functions that have the next say; `client` while the upload is awaited."""
    return [taker.name for taker in waiting(history.fold, history.events, takers(load()))]


def _report(history: History) -> dict[str, Any]:
    ended = outcome(history.fold)
    return {
        "media_id": history.media_id,
        "state": ended.state,
        "why": ended.why,
        "where": ended.where or None,
        "waits_for": waits_for(history),
        "products": [product.model_dump(exclude_none=True) for product in ended.products],
        "unmade": unmade(history.fold, takers(load())),
        "gaps": history.gaps,
        "events": [{"sequence": history.sequences.get(event["id"]), **event} for event in history.events],
        "given": [asdict(given) for given in history.given],
        "dead_letters": [letter.model_dump(mode="json", exclude_none=True) for letter in history.letters],
    }


def _show(history: History) -> None:
    ended = outcome(history.fold)
    console = out()
    console.print(Text.assemble((history.media_id, "bold"), "  ", styled(ended.state), "  ", shown(ended.why)))
    if ended.where:
        console.print(shown(ended.where, "dim"))
    console.print()
    console.print(timeline(history, narrow=console.width < NARROW))
    if ended.products:
        console.print()
        console.print(_products(ended.products))
    for letter in history.letters:
        console.print()
        console.print(
            Text.assemble(
                ("dead letter ", "bold red"), letter.letter_id, f"  {letter.function}, {letter.attempts} attempts: "
            ).append(printable(f"{letter.error}: {letter.message}"), style="red")
        )
    if waiting := waits_for(history):
        console.print()
        console.print(Text.assemble("waits for ", (", ".join(waiting), "bold cyan")))
    for product in unmade(history.fold, takers(load())):
        console.print(shown(f"No function that is installed here makes {product}.", "yellow"))
    for gap in history.gaps:
        err().print(shown(f"Incomplete: {gap}", "yellow"))


def _products(products: Sequence[ProductState]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("product", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for each in products:
        why = ": ".join(word for word in (each.code, each.reason) if word)
        table.add_row(shown(each.name), styled(each.state), shown(why if each.required else f"optional  {why}".strip()))
    return table


def timeline(history: History, *, narrow: bool) -> Table:
    """What was said and given; a narrow one has no ids, which would leave no room for what was found."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    columns: tuple[tuple[str, dict[str, Any]], ...] = (
        ("time", {"style": "dim", "no_wrap": True}),
        ("+ms", {"justify": "right", "no_wrap": True}),
        ("function", {"no_wrap": True}),
        ("event", {"no_wrap": True}),
        ("run", {"style": "magenta", "no_wrap": True}),
        ("id", {"style": "dim", "no_wrap": True}),
        ("cause", {"style": "dim", "no_wrap": True}),
        ("", {"overflow": "fold"}),
    )
    kept = [not narrow or name not in LEFT_OUT for name, _ in columns]
    for name, options in compress(columns, kept):
        table.add_column(name, **options)
    before: datetime | None = None
    for at, *row in sorted([*map(_said, history.events), *map(_given, history.given)], key=lambda row: row[0]):
        since = "" if before is None else f"{(at - before).total_seconds() * 1000:.0f}"
        table.add_row(*compress((clock(at), since, *row), kept))
        before = at
    return table


def _said(event: CloudEvent) -> Row:
    run, cause = str(event["run"]), str(event.get("causationid") or "")
    word = styled(event_name(event))
    by, ids = shown(function_of(event)), (shown(event["id"][:SHORT]), shown(cause[:SHORT]))
    return moment(event), by, word, shown(_run(run)), *ids, shown(said(event))


def _given(given: Given) -> Row:
    word = shown(f"→ {given.function}", "magenta")
    name = f"given again{f': {given.name}' if given.name else ''}"
    return given.time, Text(), word, shown(_run(given.run)), Text(), shown(given.event_id[:SHORT]), shown(name)


def _run(run: str) -> str:
    return "" if run == FIRST_RUN else run[-SHORT:]
