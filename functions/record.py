"""Every event, folded into its media's document; and, once nothing more is waited for, into its record."""

import asyncio
from collections.abc import Sequence

from events.failpoints import failpoint
from events.registry import function
from infra.context import Context
from infra.records import merge_record
from schemas.document import TERMINAL_STATES, CloudEvent, Fold
from schemas.events import MediaEvent


# Status calls read the stream first, so a document may be half a second late; most of a media's events then come
# together, and it costs one write in MongoDB and one in records/ instead of two or three of each.
@function(on=MediaEvent, batch=512, linger=0.5, concurrency=2, timeout=120, announces_failure=False)
async def record(events: Sequence[CloudEvent], ctx: Context) -> None:
    """Fold a batch of events: read the documents, write each only if nobody else wrote it meanwhile, else again."""
    fresh: dict[str, list[CloudEvent]] = {}
    for event in events:
        fresh.setdefault(event["subject"], []).append(event)
    ended: dict[str, Fold] = {}
    done = False
    while not done:
        stored = await ctx.documents.folds(fresh)
        changed: dict[str, tuple[str | None, Fold]] = {}
        for media_id, additions in fresh.items():
            fold = stored.get(media_id)
            digest = fold.digest() if fold else None
            fold = fold or Fold(media_id)
            fresher = [fold.add(addition) for addition in additions]
            if any(fresher):
                changed[media_id] = (digest, fold)
            if fold.state() in TERMINAL_STATES:
                ended[media_id] = fold
        done = await ctx.documents.write(changed)
        failpoint("record.written")
    # The client's connection pool says how many at once.
    await asyncio.gather(*(_keep(fold, ctx) for fold in ended.values()))


async def _keep(fold: Fold, ctx: Context) -> None:
    await merge_record(ctx.objects, fold)
    failpoint("record.merged")
