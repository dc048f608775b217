"""From a picture's sizes to what it looks like in a few bytes: placeholder, dominant colour, perceptual hash."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from events.registry import function
from infra.context import Context
from infra.decoder import describe_image as described
from infra.decoder import unnamed_file
from infra.records import read_record
from schemas.document import CloudEvent, Fold, event_name
from schemas.events import Done, Failed, MediaEvent, Promoted, Skipped
from schemas.media import Product
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
    concurrency=4,
    cpu=1,
)
async def describe_image(event: MediaEvent, ctx: Context) -> Done | None:
    """Describe the smallest size that says enough, once the sizes are made; where none are, the original.

    Decoding twelve megapixels a second time for this would cost more than all the rest of it.
    """
    if not isinstance(event, Promoted) and not _is_of_sizes(event):
        return None
    promoted, sizes = await _known(event, ctx)
    product = _product(promoted, "description")
    if promoted is None or product is None or (_product(promoted, "sizes") and sizes is None):
        return None  # not promised; or the sizes' outcome comes here as well
    async with _picture(promoted, sizes, ctx) as (file, probe):
        description = await described(ctx.decoders, file, probe)
    return Done(
        media=promoted.media,
        identity=promoted.identity,
        product=product.name,
        required=product.required,
        description=description,
    )


def _is_of_sizes(event: MediaEvent) -> bool:
    match event:
        case Done() | Skipped():
            return event.product == "sizes"
        case Failed():
            return "sizes" in event.products
        case _:
            return False


def _product(promoted: Promoted | None, name: str) -> Product | None:
    return next((each for each in promoted.products if each.name == name), None) if promoted else None


async def _known(event: MediaEvent, ctx: Context) -> tuple[Promoted | None, CloudEvent | None]:
    """The media as it was promoted, and what became of its sizes; None: nothing yet, or none were promised."""
    if isinstance(event, Promoted) and (_product(event, "sizes") is None or _product(event, "description") is None):
        return event, None
    media_id = event.media.media_id
    fold = Fold.of(media_id, await ctx.history.last(*(happened(name, media_id) for name in _TOLD)))
    if fold.named("promoted") is None:
        # The stream has forgotten it: the sizes of an old media were made again.
        fold.merge(await read_record(ctx.objects, media_id) or Fold(media_id))
    promoted = fold.named("promoted")
    return Promoted.model_validate(promoted["data"]) if promoted else None, fold.products().get("sizes")


@asynccontextmanager
async def _picture(
    promoted: Promoted, sizes: CloudEvent | None, ctx: Context
) -> AsyncGenerator[tuple[int, ImageProbe]]:
    """A descriptor of what is looked at, and how its pixels lie."""
    assert isinstance(promoted.probe, ImageProbe)
    made = Done.model_validate(sizes["data"]).renditions if sizes and event_name(sizes) == "done" else ()
    rendition = _smallest(made, promoted.probe)
    if rendition is None:
        async with ctx.originals.open(promoted.original) as path:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield file, promoted.probe
            finally:
                os.close(file)
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
