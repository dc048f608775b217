"""From `promoted` to product `tags`: what a sound file says of itself, made fit to be shown, and its cover."""

from pathlib import Path

import structlog

from events.failpoints import failpoint
from events.registry import function
from functions.audio.recordings import recording
from functions.products import done, promised, store_picture
from infra.context import Context
from infra.decoder import DecodeRejected, Picture, render_cover
from infra.ffmpeg.recording import Recording
from infra.ffmpeg.tags import read_words, take_cover
from infra.workspace import workspace
from schemas.events import Done, Promoted
from schemas.renditions import TagsDescription

log = structlog.get_logger()


@function(on=Promoted, kinds=("audio",), products=("tags",), timeout=600, concurrency=4, cpu=1)
async def read_tags(event: Promoted, ctx: Context) -> Done | None:
    """Read the tags, and render the cover anew; a cover that can't be read is none."""
    product = promised(event, "tags")
    if product is None:
        return None
    with workspace(ctx.settings.work_dir) as directory:
        async with recording(event, ctx) as source:
            tags = await read_words(ctx.ffmpeg, source, directory)
            pictures = await _cover(source, tags.cover, directory, ctx) if tags.cover is not None else []
    renditions = [await store_picture(event.media.media_id, "cover", picture, ctx) for picture in pictures]
    failpoint("read_tags.stored")
    return done(event, product, renditions, TagsDescription.model_validate(tags.words))


async def _cover(source: Recording, stream: int, directory: Path, ctx: Context) -> list[Picture]:
    profile = ctx.settings.audio
    try:
        path = await take_cover(ctx.ffmpeg, source, stream, directory)
        if path is None:
            return []
        with path.open("rb") as file:
            return await render_cover(
                ctx.decoders, file.fileno(), longest=profile.cover_longest, quality=profile.cover_quality
            )
    except DecodeRejected as error:
        log.info("cover.unreadable", media_id=ctx.media_id, code=error.code)
        return []
