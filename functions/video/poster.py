"""From `promoted` to product `poster`: one picture that stands for a video."""

from dataclasses import asdict

from events.failpoints import failpoint
from events.registry import function
from functions.products import done, promised, store_file
from infra.context import Context
from infra.video import poster
from infra.video.footage import Footage
from infra.workspace import workspace
from schemas.events import Done, Promoted
from schemas.probe_av import VideoProbe


@function(on=Promoted, kinds=("video",), products=("poster",), timeout=600, concurrency=4, cpu=1, lanes=True)
async def take_poster(event: Promoted, ctx: Context) -> Done | None:
    """Take the frame at one second, or the first that isn't black."""
    product = promised(event, "poster")
    if product is None:
        return None
    assert isinstance(event.probe, VideoProbe)
    profile = ctx.settings.video
    wish = poster.Wish(profile.poster_longest, profile.poster_jpeg_quality, profile.poster_webp_quality)
    with workspace(ctx.settings.work_dir) as into:
        async with ctx.originals.open(event.original) as original:
            footage = Footage(original.path, event.identity.content_type, event.probe)
            taken = await poster.take(ctx.ffmpeg, footage, wish, into)
        failpoint("take_poster.taken")
        renditions = [
            await store_file(event.media.media_id, name, path, content_type, ctx, **asdict(taken.size))
            for name, path, content_type in (
                ("poster.jpg", taken.jpeg, "image/jpeg"),
                ("poster.webp", taken.webp, "image/webp"),
            )
        ]
    return done(event, product, renditions)
