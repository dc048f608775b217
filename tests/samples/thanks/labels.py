"""A function of somebody else's, with an event of its own."""

from typing import Annotated, ClassVar

from pydantic import StringConstraints

from events.registry import function
from infra.context import Context
from schemas.events import MediaEvent, Ready
from schemas.media import Identity


class Labelled(MediaEvent):
    """A file got a label, for those who search."""

    informs: ClassVar[bool] = True

    identity: Identity
    label: Annotated[str, StringConstraints(max_length=300)]


# A label that can't be made is no failure of the file.
@function(on=Ready, timeout=10, announces_failure=False)
async def label(event: Ready, _ctx: Context) -> Labelled:
    """Label a file by its kind and its owner."""
    words = f"{event.identity.kind} of {event.media.owner}"
    return Labelled(media=event.media, identity=event.identity, label=words)
