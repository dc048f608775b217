"""`tidegate tail`: events as they happen, from the stream that subscribers read."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pydantic_core import from_json

from cli import vocabulary
from cli.connect import connected, following, settings
from cli.failures import USAGE, CommandFailed
from cli.lines import live
from cli.output import emit, note, out
from events.bus import Bus
from events.registry import load
from schemas.model import Kind

STREAM = "EVENTS"


async def tail(
    events: Sequence[str], kinds: Sequence[str], since: int | None, data: Path | None, *, as_json: bool
) -> None:
    """Show events until cancelled.

    Args:
        events: Names of events; none: all.
        kinds: Kinds of media; none: all.
        since: Begin at this sequence of EVENTS; none: with the next.
        data: A stack's data directory.
        as_json: One JSON object a line: the CloudEvent, and its `sequence`.
    """
    filters = subjects(events, kinds)
    async with connected(settings(data), "tail") as bus:
        start = since or await newest(bus) + 1
        if not as_json:
            note(f"Events from sequence {start} on; Ctrl-C ends.")
        async with following(bus, STREAM, filters, start) as messages:
            async for stored in messages:
                event = from_json(stored.data)
                if as_json:
                    emit({"sequence": stored.sequence, **event})
                else:
                    out().print(live(event, event["subject"]), soft_wrap=True)


def subjects(events: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """The subjects of EVENTS that carry these.

    Raises:
        CommandFailed: There is no such event or kind.
    """
    for what, given, known in (("event", events, tuple(vocabulary.events(load()))), ("kind", kinds, get_args(Kind))):
        if unknown := set(given).difference(known):
            raise CommandFailed(
                USAGE, f"There is no {what} {', '.join(sorted(unknown))}: there are {', '.join(known)}."
            )
    return [f"events.{event}.{kind}" for event in events or "*" for kind in kinds or "*"]


async def newest(bus: Bus) -> int:
    """The newest sequence of EVENTS, 0 if it is empty."""
    return max((stored.sequence for stored in await bus.last(STREAM, ["events.>"])), default=0)
