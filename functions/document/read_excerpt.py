"""From `promoted` to product `excerpt`: how a document begins."""

from events.registry import function
from functions.products import done, promised
from infra.context import Context
from infra.decoder import read_first_words
from schemas.events import Done, Promoted
from schemas.renditions import TextDescription


@function(on=Promoted, kinds=("document",), products=("excerpt",), timeout=300, concurrency=4, cpu=1)
async def read_excerpt(event: Promoted, ctx: Context) -> Done | None:
    """Read the first words; a scanned document has none."""
    product = promised(event, "excerpt")
    if product is None:
        return None
    most = ctx.settings.documents.excerpt_characters
    async with ctx.originals.open(event.original) as original:
        text = await read_first_words(ctx.decoders, original.file, event.identity.content_type, most)
    return done(event, product, (), TextDescription(excerpt=text))
