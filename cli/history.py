"""What is known of a media: from the stream, and from its record when the stream no longer knows."""

from dataclasses import dataclass, field
from datetime import datetime

from pydantic_core import from_json

from events.bus import Bus
from events.dead import STREAM as DEAD
from events.dead import DeadLetter
from infra.errors import DependencyDown
from infra.objects import Objects
from infra.records import read_record
from schemas.document import CloudEvent, Fold
from schemas.subjects import everything


@dataclass(frozen=True, slots=True)
class Given:
    """An event that was given to one function again: a replay, a retry, or what sweep found standing still."""

    time: datetime
    sequence: int
    function: str
    event_id: str
    run: str
    name: str | None


@dataclass(slots=True)
class History:
    """Everything about one media.

    Attributes:
        events: every event seen, oldest first, each once.
        sequences: by event id, where in MEDIA it was last seen; those of the record alone have none.
        given: what was given to single functions, oldest first.
        letters: its dead letters.
        gaps: what could not be asked.
    """

    media_id: str
    events: list[CloudEvent] = field(default_factory=list[CloudEvent])
    sequences: dict[str, int] = field(default_factory=dict[str, int])
    given: list[Given] = field(default_factory=list[Given])
    letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    gaps: list[str] = field(default_factory=list[str])

    @property
    def fold(self) -> Fold:
        """Where the media is."""
        return Fold.of(self.media_id, self.events)


async def read_history(media_id: str, bus: Bus, objects: Objects) -> History:
    """Ask the stream, the dead letters and the record; a record that can't be read is a gap.

    Raises:
        BusError: NATS does not answer, or its streams are missing.
    """
    found = History(media_id)
    seen: dict[str, CloudEvent] = {}
    async for stored in bus.read("MEDIA", [everything(media_id)]):
        event: CloudEvent = from_json(stored.data)
        seen[event["id"]] = event
        found.sequences[event["id"]] = stored.sequence
    async for stored in bus.read("MEDIA", [f"invoke.*.*.{media_id}"]):
        event = from_json(stored.data)
        function = stored.subject.split(".")[1]
        found.given.append(
            Given(stored.time, stored.sequence, function, event["id"], event["run"], event.get("replayname"))
        )
    async for stored in bus.read(DEAD, [f"dead.*.{media_id}"]):
        found.letters.append(DeadLetter.model_validate_json(stored.data))
    try:
        record = await read_record(objects, media_id)
    except DependencyDown as error:
        found.gaps.append(f"its record could not be read: {error}")
        record = None
    for event in record.events() if record else ():
        seen.setdefault(event["id"], event)
    found.events = sorted(seen.values(), key=lambda event: (event["time"], event["id"]))
    return found
