"""From `promoted` to product `progressive`: one MP4 for players that know neither HLS nor DASH."""

from events.failpoints import failpoint
from events.registry import function
from functions.products import done, promised, store_file
from functions.video.pieces import threads
from infra.context import Context
from infra.video import progressive
from infra.video.footage import Footage
from infra.workspace import workspace
from schemas.events import Done, Promoted
from schemas.probe_av import VideoProbe
from schemas.profiles import VideoProfile

MOMENTS = 1000  # progress is said in thousandths


@function(
    on=Promoted,
    kinds=("video",),
    products=("progressive",),
    timeout=12 * 3600,
    concurrency=2,
    cpu=2,
    background=True,
    lanes=True,
)
async def encode_progressive(event: Promoted, ctx: Context) -> Done | None:
    """Encode all of it into one file."""
    product = promised(event, "progressive")
    if product is None:
        return None
    assert isinstance(event.probe, VideoProbe)

    async def tell(share: float) -> None:
        await ctx.progress(round(share * MOMENTS), MOMENTS, product=product.name, overall=round(share, 4))

    with workspace(ctx.settings.work_dir) as into:
        async with ctx.originals.open(event.original) as original:
            footage = Footage(original.path, event.identity.content_type, event.probe)
            wish = _wish(ctx.settings.video)
            made = await progressive.encode(ctx.ffmpeg, footage, wish, into, threads=threads(ctx), on_progress=tell)
        failpoint("encode_progressive.encoded")
        rendition = await store_file(
            event.media.media_id,
            progressive.FILE,
            made.file,
            "video/mp4",
            ctx,
            width=made.probe.width,
            height=made.probe.height,
            duration_seconds=made.probe.duration_seconds,
            bit_rate=made.probe.bit_rate,
            frames=made.frames,
            quality="standard",
        )
    return done(event, product, [rendition])


def _wish(profile: VideoProfile) -> progressive.Wish:
    return progressive.Wish(
        longer=profile.progressive_longer,
        shorter=profile.progressive_shorter,
        preset=profile.progressive_preset,
        crf=profile.progressive_crf,
        bit_rate=profile.progressive_bit_rate,
        audio_bit_rate=profile.progressive_audio_bit_rate,
    )
