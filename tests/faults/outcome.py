"""What must be true of every file once nothing is going on any more, whatever was killed on the way."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from events.dead import DeadLetter, letters
from events.lanes import function_of
from infra.documents import Documents
from infra.records import read_record
from schemas.document import Fold, event_name
from schemas.events import TERMINAL
from schemas.objects import ObjectRef
from schemas.subjects import original_key
from tests.system import System, poll


@dataclass(frozen=True, slots=True)
class Expected:
    """How a file must end.

    Attributes:
        state: its document's state.
        bodies: the bytes that may be in permanent/ (or in quarantine/); empty: none may.
        also: terminal events that may have happened before, such as a failure that was retried.
        suffix: of its original's key.
    """

    state: str
    bodies: tuple[bytes, ...] = ()
    also: frozenset[str] = frozenset()
    suffix: str = "pdf"


async def quiet(system: System, working: Collection[str] = ()) -> bool:
    """Whether no function has anything left to do: of all, or of these, where nobody works on the others."""
    for stream in ("TICKS", "UPLOADS", "MEDIA", "MEDIA"):
        if await _busy(system, stream, working):
            return False
    return True


async def _busy(system: System, stream: str, working: Collection[str]) -> list[str]:
    return [
        f"busy: {state}"
        for state in await system.bus.state(stream)
        if (state.pending or state.unacknowledged) and (not working or function_of(state.name) in working)
    ]


async def dead(system: System) -> list[DeadLetter]:
    """Every dead letter."""
    return [letter async for _, letter in letters(system.bus)]


async def all_ended(
    system: System, expected: dict[str, Expected], patience: float = 60.0, working: Collection[str] = ()
) -> None:
    """Wait until all is quiet and every file is as expected of it.

    Quiet alone may be too early: what MinIO took in its first moments and announced to nobody waits for sweep.
    """
    problems = ["nothing was looked at"]

    async def settled() -> bool:
        nonlocal problems
        problems = [line for stream in ("TICKS", "UPLOADS", "MEDIA") for line in await _busy(system, stream, working)]
        if not problems and await quiet(system, working):
            problems = [one for media_id, each in expected.items() for one in await _problems(system, media_id, each)]
        return not problems

    try:
        await poll(settled, patience)
    except TimeoutError:
        raise AssertionError("\n".join([f"not as expected after {patience:g} s", *problems])) from None


async def stored_twice(system: System, media_ids: Iterable[str]) -> dict[str, int]:
    """Event ids that are more than once in the stream."""
    ids: Counter[str] = Counter()
    for media_id in media_ids:
        ids.update(event["id"] for event in await system.events(media_id))
    return {event_id: count for event_id, count in ids.items() if count > 1}


async def _problems(system: System, media_id: str, expected: Expected) -> list[str]:
    events = await system.events(media_id)
    fold = Fold.of(media_id, events)
    names = [event_name(event) for event in events]
    terminal = {name for name in names if name in TERMINAL}
    promoted = {event["id"] for event in events if event_name(event) == "promoted"}
    keys = await system.keys(media_id)
    found: list[str] = []

    def must(truth: object, sentence: str) -> None:
        if not truth:
            found.append(f"{media_id}: {sentence}; events {names}, objects {keys}")

    must(fold.state() == expected.state, f"is {fold.state()}, not {expected.state}")
    must(terminal - expected.also == {expected.state}, f"ended as {terminal}")
    uploaded = {event["id"] for event in events if event_name(event) == "uploaded"}
    must(len(uploaded) <= 1, f"has {len(uploaded)} uploaded ids")
    must(len(promoted) == ("promoted" in names), f"has {len(promoted)} promoted ids")
    if expected.state == "ready":
        must(promoted, "was never promoted")
    wanted = set[str]()
    if expected.state in {"ready", "quarantined"}:
        key = original_key(media_id, expected.suffix) if expected.state == "ready" else f"quarantine/{media_id}"
        wanted.add(key)
        if key in keys:
            body = await system.objects.get(ObjectRef(bucket=system.settings.bucket, key=key, size=0))
            must(body in expected.bodies, f"{key} has other bytes than were uploaded")
            sha256 = fold.known()["verdict"]["sha256"]
            must(hashlib.sha256(body).hexdigest() == sha256, f"{key} was not scanned as it is")
    wanted.add(f"records/{media_id}.json")
    must(set(keys) == wanted, f"objects should be {sorted(wanted)}")
    record = await read_record(system.objects, media_id)
    must(record is not None and record.text() == fold.text(), "its record is not the fold of its events")
    documents = Documents.from_settings(system.settings)
    try:
        document = await documents.get(media_id)
    finally:
        await documents.aclose()
    must(document is not None and document.text() == fold.text(), "its document is not the fold of its events")
    return found
