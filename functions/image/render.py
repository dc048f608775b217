"""From `promoted` to `done`: the sizes of a picture, each in the formats that the profile names."""

import asyncio

from events.failpoints import failpoint
from events.registry import function
from functions.products import done, promised, store
from infra.context import Context
from infra.decoder import Output, RenderedSize, render_sizes
from schemas.events import Done, Promoted
from schemas.probe import ImageProbe
from schemas.profiles import ImageFormat
from schemas.renditions import Quality, Rendition

TYPES: dict[ImageFormat, tuple[str, str]] = {
    "webp": ("webp", "image/webp"),
    "jpeg": ("jpg", "image/jpeg"),
    "avif": ("avif", "image/avif"),
}
"""Each format's extension and content type."""


# Pillow identifies and verifies, libvips renders: Pillow is strict where libvips repairs (a picture cut short is
# refused), libvips decodes a photo as small as it is needed, in half the time and a tenth of the memory.
# Half of its time it waits for MinIO or for a decoder: two for each core keep that core busy, and no more decode at
# once than there are decoders.
@function(on=Promoted, kinds=("image",), products=("sizes",), timeout=900, concurrency=8, cpu=0.5, lanes=True)
async def render_image(event: Promoted, ctx: Context) -> Done | None:
    """Make every size of a picture from one decoding, and put them beside the original."""
    product = promised(event, "sizes")
    if product is None:
        return None
    assert isinstance(event.probe, ImageProbe)
    async with ctx.originals.open(event.original) as original:
        with Output() as output:
            pictures = await render_sizes(ctx.decoders, original.file, event.probe, ctx.settings.images, output)
            kept = (_keep(each, output, event.media.media_id, ctx) for each in pictures)
            renditions = await asyncio.gather(*kept)
    return done(event, product, sorted(renditions, key=lambda rendition: rendition.name))


async def _keep(picture: RenderedSize, output: Output, media_id: str, ctx: Context) -> Rendition:
    body = output.read(picture.written)
    extension, content_type = TYPES[picture.format]
    name = f"{picture.variant}.{extension}"
    rendition = await store(media_id, name, content_type, body, ctx)
    failpoint("render_image.put")
    return rendition.model_copy(
        update={
            "width": picture.width,
            "height": picture.height,
            "frames": picture.frames if picture.frames > 1 else None,
            "quality": _quality(picture, ctx),
        }
    )


def _quality(picture: RenderedSize, ctx: Context) -> Quality | None:
    variants = ctx.settings.images.variants
    return next(variant.quality for variant in variants if variant.name == picture.variant)
