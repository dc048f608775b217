"""From a picture's sizes to what it looks like in a few bytes: placeholder, dominant colour, perceptual hash."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from events.registry import function
from functions.products import done, promised
from infra.context import Context
from infra.decoder import describe_image as described
from infra.decoder import unnamed_file
from infra.records import read_record
from schemas.document import Fold, event_name
from schemas.events import Done, Failed, MediaEvent, Promoted, Skipped
from schemas.objects import ObjectRef
from schemas.probe import ImageProbe
from schemas.renditions import Rendition, rendition_key
from schemas.subjects import happened

ENOUGH = 128
"""The longer side of a rendition, in pixels, that says as much as the original."""
_TOLD = ("promoted", "done", "skipped", "failed")


@function(
    on=Promoted | Done | Skipped | Failed,
    kinds=("image",),
    products=("description",),
    timeout=300,
    # It takes no share of the budget: most of what it is given is for others to describe, or needs no more than the
    # smallest size, and would wait in line with pictures that are rendered: none of many was ready before the last.
    concurrency=4,
    lanes=True,
)
async def describe_image(event: MediaEvent, ctx: Context) -> Done | None:
    """Describe the smallest size that says enough, once the sizes are made; where none are, the original.

    Decoding twelve megapixels a second time for this would cost more than all the rest of it.
    """
    match event:
        case Promoted():
            begun = event
            sizes = await _made(event, ctx)
        case Done(product="sizes"):
            begun, sizes = await _begun(event, ctx), event.renditions
        case Skipped(product="sizes"):
            begun, sizes = await _begun(event, ctx), ()
        case Failed() if "sizes" in event.products:
            begun, sizes = await _begun(event, ctx), ()
        case _:
            return None
    product = promised(begun, "description")
    if product is None or sizes is None:
        return None
    async with _picture(begun, sizes, ctx) as (file, probe):
        description = await described(ctx.decoders, file, probe)
    return done(begun, product, (), description)


async def _made(event: Promoted, ctx: Context) -> Sequence[Rendition] | None:
    """The sizes that there are of a media; None: they are being made, and their outcome comes here as well."""
    if not (promised(event, "sizes") and promised(event, "description")):
        return ()
    outcome = (await _fold(event.media.media_id, ctx)).products().get("sizes")
    if outcome is None:
        return None
    return Done.model_validate(outcome["data"]).renditions if event_name(outcome) == "done" else ()


async def _begun(event: MediaEvent, ctx: Context) -> Promoted:
    promoted = (await _fold(event.media.media_id, ctx)).named("promoted")
    if promoted is None:
        raise LookupError(f"neither stream nor record know how {event.media.media_id} was promoted")
    return Promoted.model_validate(promoted["data"])


async def _fold(media_id: str, ctx: Context) -> Fold:
    fold = Fold.of(media_id, await ctx.history.last(*(happened(name, media_id) for name in _TOLD)))
    if fold.named("promoted") is None:
        # The stream has forgotten it: the sizes of an old media were made again.
        fold.merge(await read_record(ctx.objects, media_id) or Fold(media_id))
    return fold


@asynccontextmanager
async def _picture(
    promoted: Promoted, sizes: Sequence[Rendition], ctx: Context
) -> AsyncGenerator[tuple[int, ImageProbe]]:
    """A descriptor of what is looked at, and how its pixels lie."""
    assert isinstance(promoted.probe, ImageProbe)
    rendition = _smallest(sizes, promoted.probe)
    if rendition is None:
        async with ctx.originals.open(promoted.original) as original:
            yield original.file, promoted.probe
        return
    key = rendition_key(promoted.media.media_id, rendition.name)
    file = unnamed_file(ctx.settings.work_dir)
    try:
        _fill(file, await ctx.objects.get(ObjectRef(bucket=ctx.objects.bucket, key=key, size=rendition.size)))
        yield file, _as_made(rendition)
    finally:
        os.close(file)


def _fill(file: int, body: bytes) -> None:
    with open(file, "wb", closefd=False) as spool:
        spool.write(body)


def _smallest(renditions: Sequence[Rendition], probe: ImageProbe) -> Rendition | None:
    """The smallest that is large enough and shows the whole picture, a JPEG if there is one."""
    # Sides are rounded to whole pixels: that is how far the shapes of two sizes of one picture may be apart.
    shown = [
        (max(each.width, each.height), each.content_type != "image/jpeg", each)
        for each in renditions
        if each.width and each.height
        if abs(each.width * probe.height - each.height * probe.width) <= max(probe.width, probe.height)
        if each.content_type in {"image/jpeg", "image/webp"}
    ]
    enough = [each for each in shown if each[0] >= ENOUGH]
    return min(enough, key=lambda each: each[:2])[2] if enough else None


def _as_made(rendition: Rendition) -> ImageProbe:
    return ImageProbe.model_validate(
        {
            "format": rendition.content_type.removeprefix("image/"),
            "width": rendition.width,
            "height": rendition.height,
            "orientation": 1,
            "mode": "RGB",
            "alpha": False,
            "frames": rendition.frames or 1,
            "animated": (rendition.frames or 1) > 1,
        }
    )
