"""From `promoted` to product `sound`: a recording as every browser plays it."""

from events.failpoints import failpoint
from events.registry import function
from functions.audio.recordings import is_quick, recording, telling
from functions.products import done, promised, store_file
from infra.context import Context
from infra.ffmpeg.sound import CODINGS, Made, Wish, render_sound_files
from infra.workspace import workspace
from schemas.events import Done, Promoted
from schemas.profiles import AudioProfile
from schemas.renditions import Rendition, SoundDescription


@function(on=Promoted, kinds=("audio",), products=("sound",), timeout=1800, concurrency=4, cpu=1, lanes=True)
async def render_sound(event: Promoted, ctx: Context) -> Done | None:
    """Code a voice message or a song anew."""
    return await _rendered(event, ctx, background=False) if is_quick(event) else None


@function(
    on=Promoted,
    kinds=("audio",),
    products=("sound",),
    timeout=43_200,
    concurrency=2,
    cpu=1,
    background=True,
    lanes=True,
)
async def render_long_sound(event: Promoted, ctx: Context) -> Done | None:
    """Code a long recording anew, where nobody who is quick has to wait for it."""
    return None if is_quick(event) else await _rendered(event, ctx, background=True)


async def _rendered(event: Promoted, ctx: Context, *, background: bool) -> Done | None:
    product = promised(event, "sound")
    if product is None:
        return None
    with workspace(ctx.settings.work_dir) as directory:
        async with recording(event, ctx) as source:
            made = await render_sound_files(
                ctx.ffmpeg,
                source,
                _wish(ctx.settings.audio),
                directory,
                on_progress=telling(ctx),
                background=background,
            )
        failpoint("render_sound.made")
        renditions = await _stored(event.media.media_id, made, ctx)
    said = SoundDescription(loudness=made.loudness, normalized=made.normalized)
    return done(event, product, renditions, said)


def _wish(profile: AudioProfile) -> Wish:
    return Wish(
        formats=profile.formats,
        channels=profile.channels,
        aac_bit_rate=profile.aac_bit_rate,
        opus_bit_rate=profile.opus_bit_rate,
        loudness_lufs=profile.loudness_lufs,
        true_peak_dbtp=profile.true_peak_dbtp,
    )


async def _stored(media_id: str, made: Made, ctx: Context) -> list[Rendition]:
    renditions: list[Rendition] = []
    for name, (path, probe) in made.files.items():
        coding = CODINGS[name]
        facts = {"duration_seconds": probe.duration_seconds, "bit_rate": probe.bit_rate, "quality": "standard"}
        renditions.append(await store_file(media_id, coding.file, path, coding.content_type, ctx, **facts))
    return renditions
