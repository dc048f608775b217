"""A function of somebody else's."""

from events.registry import function
from infra.context import Context
from schemas.events import Ready


@function(on=Ready, timeout=10)
async def thanks(event: Ready, ctx: Context) -> None:
    """Tell the owner that the file is there."""
    print(f"Thank you, {event.media.owner}: {event.media.filename} is {event.original.size} bytes", flush=True)  # noqa: T201
