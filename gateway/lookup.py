"""Finding a media, and whether the asker may see it.

The stream is asked first: it has an event from the moment it is published, while `record` may lag. A media whose
`requested` is still in the stream has all its events there (they are removed oldest first), so MongoDB is asked
only for older ones, or when the stream doesn't answer.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog

from events.bus import Bus, BusDown, BusError, Stored
from gateway.archive import STREAM, read_event
from gateway.problems import ProblemError, unavailable
from gateway.services import Documents, Services
from infra.errors import DependencyDown
from infra.records import DECISIVE
from infra.tokens import Claims
from schemas.catalog import readers
from schemas.document import CloudEvent, Fold
from schemas.subjects import everything, happened

# How long a person waits for one of the two before the other's answer is enough.
PATIENCE_SECONDS: Final = 2.0
# Nothing else may reach a subject filter: `*` and `>` would ask for everybody's media.
_MEDIA_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """One media as the gateway knows it.

    Attributes:
        fold: all that is known.
        events: every event seen, by id, those that lost their cell to a better one included.
        newest: the sequence in the stream of its last event, 0 if the stream has none.
        gap: why something may be missing; empty if nothing is.
        live: whether the stream answered.
    """

    fold: Fold
    events: dict[str, CloudEvent]
    newest: int
    gap: str = ""
    live: bool = True


async def find(at: Services, claims: Claims, media_id: str, *names: str) -> Found:
    """The media, if it exists and this caller may see it; `names` as of `look`.

    Raises:
        ProblemError: 404, the same for what isn't there and for what is somebody else's; 503 when nobody can say.
    """
    found = await look(at, media_id, *names)
    if not may_see(claims, found.fold):
        raise unknown()
    return found


def unknown() -> ProblemError:
    """404, whatever the reason: ids are not confirmed to strangers."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "media_not_found",
        "There is no such media, or it isn't yours: check the id and whose token you use.",
    )


def may_see(claims: Claims, fold: Fold) -> bool:
    """Whether the caller owns the media or shares an audience with it."""
    return not set(readers(fold.known().get("media", {}))).isdisjoint(claims.readers)


async def look(at: Services, media_id: str, *names: str) -> Found:
    """What there is under an id, whoever asks; nothing at all is an empty fold.

    Args:
        at: Whom to ask.
        media_id: What the client takes for an id.
        names: Only events of these names are asked for, `requested` among them; none: all. A long video has hundreds.

    Raises:
        ProblemError: 404 for what is no id; 503 when nobody can say.
    """
    if not _MEDIA_ID.fullmatch(media_id):
        raise unknown()
    fold, events, newest, gap = Fold(media_id), dict[str, CloudEvent](), 0, ""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            stored, omitted = await _last(at.bus, media_id, names)
    except (BusError, TimeoutError) as error:
        log.warning("status.stream_away", error=str(error) or type(error).__name__)
        stored, omitted, gap = [], "", "NATS doesn't answer: the newest events may be missing"
    for message in stored:
        newest = max(newest, message.sequence)
        if (event := read_event(message.data)) is not None:
            fold.add(event)
            events[event["id"]] = event
    if "gateway" in fold.cells:
        return Found(fold, events, newest, omitted)
    try:
        older = await _document(at.documents, media_id)
    except (DependencyDown, TimeoutError):
        if not fold.cells:
            raise unavailable("Nobody can say where this media is right now") from None
        return Found(fold, events, newest, "MongoDB doesn't answer: the oldest events may be missing")
    if older is not None:
        fold.merge(older)
        events |= {event["id"]: event for event in older.events()}
    elif gap:
        raise unavailable("Nobody can say whether this media exists: NATS doesn't answer") from BusDown(gap)
    return Found(fold, events, newest, gap or omitted, live=not gap)


async def _last(bus: Bus, media_id: str, names: Sequence[str]) -> tuple[list[Stored], str]:
    """The last message of each of a media's subjects, and what was left out: a form can overwrite its key for ever."""
    try:
        wanted = [happened(name, media_id) for name in names] or [everything(media_id)]
        return await bus.last(STREAM, wanted), ""
    except ValueError:
        filters = [happened(name, media_id) for name in DECISIVE]
        filters += [happened("discarded", media_id, f"discard-{name}") for name in DECISIVE]
    try:
        return await bus.last(STREAM, filters), "So many versions or pieces are there that they are not listed"
    except ValueError:
        raise BusError(f"{media_id}: too many replays to be told at once") from None


async def _document(documents: Documents | None, media_id: str) -> Fold | None:
    if documents is None:
        return None
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await documents.get(media_id)
