"""MEDIA as the gateway reads it: every event of every media, with whatever strangers' functions put beside them."""

import json
from typing import Final

from schemas.document import CloudEvent

STREAM: Final = "MEDIA"


def read_event(payload: bytes) -> CloudEvent | None:
    """A message's event; None for what a stranger's function may have put there instead."""
    try:
        event = json.loads(payload)
        if all(isinstance(event[name], str) for name in ("id", "type", "source", "time", "run", "part", "lane")):
            # The type becomes a line of a stream of server-sent events.
            named = event["type"].isprintable() and "." in event["type"]
            return event if named and isinstance(event["data"], dict) else None
    except (ValueError, KeyError, TypeError):
        pass
    return None


def one_line(event: CloudEvent, payload: bytes) -> bytes:
    """An event's payload on one line, as server-sent events need it."""
    return json.dumps(event).encode() if b"\n" in payload or b"\r" in payload else payload
