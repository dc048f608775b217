"""From `promoted` and its products' outcomes to `ready`: the fan-in, without a lock or a counter."""

from events.registry import function
from infra.context import Context
from infra.records import read_record
from schemas.document import FAILURES, CloudEvent, Fold, event_name
from schemas.events import Done, Failed, MediaEvent, Promoted, Ready, Skipped
from schemas.subjects import happened

DECIDING = ("promoted", "done", "skipped", "failed")


@function(on=Promoted | Done | Skipped | Failed, timeout=60, concurrency=8, announces_failure=False)
async def finish(event: MediaEvent, ctx: Context) -> Ready | Failed | None:
    """Say that the media can be used, once each required product is done and each optional one ended.

    Where a required one can't be made of this file, say that instead: nobody else ends the media then.

    Whoever comes last sees all the others: the stream had their outcomes before this one's. Two who both come last say
    the same `ready`, under the same id.
    """
    match event:
        case Promoted(products=()):
            return _ready(event)
        case Failed(products=()):
            return None  # of the way to `promoted`
        case _:
            fold = await _known(event.media.media_id, ctx)
    promoted = fold.named("promoted")
    outcomes = fold.products()
    if isinstance(event, Skipped) and event.required and _is_missed(outcomes.get(event.product)):
        return Failed(
            media=event.media,
            function="finish",
            code=event.code,
            error=f"The product {event.product} is required and can't be made: {event.reason}"[:2000],
            identity=event.identity,
        )
    if promoted is None or None in outcomes.values() or any(_is_missed(outcome) for outcome in outcomes.values()):
        return None
    return _ready(Promoted.model_validate(promoted["data"]))


async def _known(media_id: str, ctx: Context) -> Fold:
    fold = Fold.of(media_id, await ctx.history.last(*(happened(name, media_id) for name in DECIDING)))
    if fold.named("promoted") is None:
        # The stream has forgotten it: a product of an old media was made again.
        fold.merge(await read_record(ctx.objects, media_id) or Fold(media_id))
    return fold


def _is_missed(outcome: CloudEvent | None) -> bool:
    return outcome is not None and event_name(outcome) in FAILURES and bool(outcome["data"].get("required", True))


def _ready(event: Promoted) -> Ready:
    return Ready(media=event.media, identity=event.identity, original=event.original, products=event.products)
