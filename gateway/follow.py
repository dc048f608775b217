"""What happens to one media, as it happens, so that a client can resume where it left.

An event's id is its sequence in MEDIA. Without `Last-Event-ID` it begins at the first event that the stream still
has. When the media is in a terminal state and nothing more was said for two seconds, an `end` event says which state
that is and the stream ends. An EventSource would then connect again: it is told 204, which ends it for good.

Between the events `progress` says how far a function is, at most twice a second each. It has no id: it is stored
nowhere, so nobody can resume after it.
"""

import json
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Final

import structlog

from events.bus import Bus, BusError, Stored
from gateway.archive import STREAM, one_line, read_event
from gateway.lookup import Found
from gateway.stream import frame
from gateway.tail import Tail
from schemas.document import TERMINAL_STATES, CloudEvent, Fold, event_name
from schemas.subjects import everything

HEARTBEAT_SECONDS: Final = 15.0
# After `ready`, `discard` still has its say.
QUIET_SECONDS: Final = 2.0
# The tail wakes at once; should it be interrupted, or a replica be late, this is how late an event may be.
RECHECK_SECONDS: Final = 2.0
RETRY_MILLISECONDS: Final = 1000

log = structlog.get_logger()


def is_over(found: Found, after: int) -> bool:
    """Whether a client that has seen everything up to sequence `after` has nothing to wait for."""
    return (
        found.fold.state() in TERMINAL_STATES
        and found.newest <= after
        and min(_age(event) for event in found.events.values()) > QUIET_SECONDS
    )


async def follow(
    bus: Bus, tail: Tail, found: Found, after: int, heartbeat: float = HEARTBEAT_SECONDS
) -> AsyncGenerator[bytes]:
    """Chunks of a stream of server-sent events, beginning after sequence `after`."""
    media_id = found.fold.media_id
    fold, seen = Fold.of(media_id, found.fold.events()), after
    spoken = time.monotonic()
    quiet = spoken - min(_age(event) for event in found.events.values())
    yield b"retry: %d\n\n" % RETRY_MILLISECONDS
    with tail.watching(media_id) as watch:
        while True:
            watch.news = False
            for message in await _news(bus, media_id, seen + 1):
                seen = message.sequence
                watch.forget()
                if (event := read_event(message.data)) is not None:
                    fold.add(event)
                    yield frame(event_name(event), one_line(event, message.data), seen)
                    spoken = time.monotonic()
                    quiet = spoken - _age(event)
            now = time.monotonic()
            ending = fold.state() in TERMINAL_STATES and seen >= found.newest
            if ending and now - quiet >= QUIET_SECONDS:
                yield frame("end", json.dumps({"media_id": media_id, "state": fold.state()}).encode())
                return
            if now - spoken >= heartbeat:
                yield b": still here\n\n"
                spoken = now
            until = now + (QUIET_SECONDS - (now - quiet) if ending else min(RECHECK_SECONDS, heartbeat))
            while lines := await watch.wait(until - time.monotonic()):
                for line in lines:
                    yield frame("progress", line)


async def _news(bus: Bus, media_id: str, start: int) -> list[Stored]:
    try:
        return [message async for message in bus.read(STREAM, [everything(media_id)], start=start)]
    except BusError as error:
        log.warning("follow.interrupted", media_id=media_id, error=str(error))
        return []


def _age(event: CloudEvent) -> float:
    """Seconds since the event; 0 for one from a clock that is ahead."""
    return max((datetime.now(UTC) - datetime.fromisoformat(event["time"])).total_seconds(), 0)
