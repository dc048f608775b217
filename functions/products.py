"""What the functions of products share: whether one is promised, where its files go, and how it is said to be done."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.context import Context
from infra.decoder import Picture
from schemas.events import Done, Promoted
from schemas.media import Product
from schemas.renditions import Description, Rendition, rendition_key


def promised(event: Promoted, name: str) -> Product | None:
    """A product, if the media's profile promises it."""
    return next((product for product in event.products if product.name == name), None)


async def store(media_id: str, name: str, content_type: str, content: bytes, ctx: Context) -> Rendition:
    """Write a file of a product."""
    await ctx.objects.put(rendition_key(media_id, name), content, content_type=content_type)
    digest = hashlib.sha256(content).hexdigest()
    return Rendition(name=name, content_type=content_type, size=len(content), sha256=digest)


async def store_picture(media_id: str, stem: str, picture: Picture, ctx: Context) -> Rendition:
    """Write a picture of a product: `stem` and the extension of its coding."""
    name = f"{stem}.{picture.extension}"
    rendition = await store(media_id, name, picture.content_type, picture.content, ctx)
    return rendition.model_copy(update={"width": picture.width, "height": picture.height})


async def store_file(media_id: str, name: str, path: Path, content_type: str, ctx: Context, **facts: Any) -> Rendition:
    """Write a file of a product that lies on disk; `facts` are other fields of its `Rendition`."""
    stored = await ctx.objects.put_file(rendition_key(media_id, name), path, content_type=content_type)
    return Rendition(name=name, content_type=content_type, size=stored.size, sha256=stored.sha256, **facts)


def done(
    event: Promoted, product: Product, renditions: Sequence[Rendition], description: Description | None = None
) -> Done:
    """Say that a product was made."""
    return Done(
        media=event.media,
        identity=event.identity,
        product=product.name,
        required=product.required,
        renditions=tuple(renditions),
        description=description,
    )
