"""From `promoted` to `ready`: when every required product is done and each optional one ended."""

from events.registry import function
from infra.context import Context
from schemas.events import Promoted, Ready


@function(on=Promoted, timeout=30, concurrency=8, announces_failure=False)
async def finish(event: Promoted, _ctx: Context) -> Ready | None:
    """Say that the media can be used. What promises no products is ready once promoted."""
    if event.products:
        return None
    return Ready(media=event.media, identity=event.identity, original=event.original)
