"""Giving past events to a function again, on purpose: the same input in a new run."""

from collections.abc import Mapping
from typing import Any

from uuid_utils import uuid7

from events.envelope import Envelope
from events.invoke import Invoke


def new_run() -> str:
    """A run of its own: a UUIDv7, so that a later run is the greater text and wins in the fold."""
    return str(uuid7())


def again(function: str, event: Mapping[str, Any], *, run: str, name: str | None = None) -> Invoke:
    """An event for one function alone, in a new run; what follows from it carries the run and the replay's name.

    Args:
        function: The function that gets it.
        event: The envelope as JSON, as it was published.
        run: From `new_run`.
        name: The replay's name, in every event that follows.
    """
    envelope = Envelope.model_validate(event)
    return Invoke(function, envelope.model_copy(update={"run": run, "replayname": name or None}))
