"""From `promoted` to product `waveform`: a sound's peaks, as data and as a picture."""

from pydantic_core import to_json

from events.failpoints import failpoint
from events.registry import function
from functions.audio.recordings import is_quick, recording, telling
from functions.products import done, promised, store, store_picture
from infra.context import Context
from infra.decoder import draw_peaks
from infra.ffmpeg.peaks import find_peaks
from schemas.events import Done, Promoted


@function(on=Promoted, kinds=("audio",), products=("waveform",), timeout=1800, concurrency=4, cpu=1, lanes=True)
async def draw_waveform(event: Promoted, ctx: Context) -> Done | None:
    """Find the peaks of a voice message or a song."""
    return await _drawn(event, ctx, background=False) if is_quick(event) else None


@function(
    on=Promoted,
    kinds=("audio",),
    products=("waveform",),
    timeout=43_200,
    concurrency=2,
    cpu=1,
    background=True,
    lanes=True,
)
async def draw_long_waveform(event: Promoted, ctx: Context) -> Done | None:
    """Find the peaks of a long recording, where nobody who is quick has to wait for it."""
    return None if is_quick(event) else await _drawn(event, ctx, background=True)


async def _drawn(event: Promoted, ctx: Context, *, background: bool) -> Done | None:
    product = promised(event, "waveform")
    if product is None:
        return None
    profile = ctx.settings.audio
    async with recording(event, ctx) as source:
        peaks = await find_peaks(
            ctx.ffmpeg,
            source,
            finest=profile.waveform_samples_per_pixel,
            most=profile.waveform_most_pixels,
            channels=1 if profile.waveform_channels == "mixed" else 2,
            on_progress=telling(ctx),
            background=background,
        )
    media_id = event.media.media_id
    renditions = [await store(media_id, "waveform.json", "application/json", to_json(peaks.json()), ctx)]
    failpoint("draw_waveform.peaks")
    if profile.waveform_picture != "none":
        picture = await draw_peaks(
            ctx.decoders,
            peaks.columns(profile.waveform_width),
            height=profile.waveform_height,
            color=profile.waveform_color,
            background=profile.waveform_background,
            coding=profile.waveform_picture,
        )
        renditions.append(await store_picture(media_id, "waveform", picture, ctx))
    return done(event, product, renditions)
