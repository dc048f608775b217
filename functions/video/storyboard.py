"""From `promoted` to product `storyboard`: small pictures of all of a video, and when each is on screen."""

from dataclasses import asdict

from events.failpoints import failpoint
from events.registry import function
from functions.products import done, promised, store, store_file
from infra.context import Context
from infra.video import storyboard
from infra.video.footage import Footage
from infra.workspace import workspace
from schemas.events import Done, Promoted
from schemas.probe_av import VideoProbe
from schemas.profiles import VideoProfile

VTT = "storyboard.vtt"


@function(
    on=Promoted,
    kinds=("video",),
    products=("storyboard",),
    timeout=3600,
    concurrency=2,
    cpu=1,
    background=True,
    lanes=True,
)
async def draw_storyboard(event: Promoted, ctx: Context) -> Done | None:
    """Draw the sheets, and tell in a WebVTT which of their pictures belongs to which time."""
    product = promised(event, "storyboard")
    if product is None:
        return None
    assert isinstance(event.probe, VideoProbe)
    media_id = event.media.media_id
    with workspace(ctx.settings.work_dir) as into:
        async with ctx.originals.open(event.original) as original:
            footage = Footage(original.path, event.identity.content_type, event.probe)
            drawn = await storyboard.draw(ctx.ffmpeg, footage, _wish(ctx.settings.video), into)
        failpoint("draw_storyboard.drawn")
        renditions = [
            await store_file(media_id, name, path, "image/jpeg", ctx, **asdict(size), frames=count)
            for (name, path), size, count in zip(drawn.sheets.items(), drawn.sizes, drawn.counts, strict=True)
        ]
    # Last: where it is, the sheets are that it names.
    renditions.append(await store(media_id, VTT, "text/vtt", drawn.vtt.encode(), ctx))
    return done(event, product, renditions)


def _wish(profile: VideoProfile) -> storyboard.Wish:
    return storyboard.Wish(
        tiles=profile.storyboard_tiles,
        seconds=profile.storyboard_seconds,
        width=profile.storyboard_width,
        columns=profile.storyboard_columns,
        rows=profile.storyboard_rows,
        quality=profile.storyboard_quality,
    )
