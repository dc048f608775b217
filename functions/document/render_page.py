"""From `promoted` to product `page`: a PDF's first page as a picture."""

from events.failpoints import failpoint
from events.registry import function
from functions.products import done, promised, store_picture
from infra.context import Context
from infra.decoder import render_first_page
from schemas.events import Done, Promoted
from schemas.renditions import PageDescription


@function(on=Promoted, kinds=("document",), products=("page",), timeout=300, concurrency=4, cpu=1, lanes=True)
async def render_page(event: Promoted, ctx: Context) -> Done | None:
    """Render the first page, and count all."""
    product = promised(event, "page")
    if product is None:
        return None
    profile = ctx.settings.documents
    async with ctx.originals.open(event.original) as original:
        pages, pictures = await render_first_page(
            ctx.decoders,
            original.file,
            longest=profile.page_longest,
            dpi=profile.page_dpi,
            quality=profile.page_quality,
            codings=profile.page_formats,
        )
    renditions = [await store_picture(event.media.media_id, "page", picture, ctx) for picture in pictures]
    failpoint("render_page.stored")
    return done(event, product, renditions, PageDescription(pages=pages))
