"""From `planned` to `encoded`: a video's sound, whole."""

from events.failpoints import failpoint
from events.registry import function
from functions.video.pieces import PRODUCT, is_wanted, pieces
from infra.context import Context
from infra.ffmpeg.recording import Recording
from infra.ffmpeg.written import written
from infra.video.sound import encode_sound
from infra.workspace import workspace
from schemas.events import Encoded, Planned
from schemas.plan import SOUND, SOUND_FACTS, work_key


@function(
    on=Planned,
    kinds=("video",),
    products=(PRODUCT,),
    timeout=4 * 3600,
    # It takes no share of the budget: one thread at the lowest priority beside the pictures of the same video, which
    # would wait for it on a machine of two cores.
    concurrency=2,
    lanes=True,
)
async def encode_audio(event: Planned, ctx: Context) -> Encoded | None:
    """Encode a video's sound and say how loud it is; run again, find that it is encoded."""
    sound = event.plan.sound
    if sound is None or not await is_wanted(event, ctx):
        return None
    done = Encoded.after(event, piece="sound")
    if (await pieces(event, ctx)).has_sound:
        return done
    track = next(each for each in event.probe.audio if each.index == sound.index)

    async def tell(seconds: float) -> None:
        share = min(seconds / sound.seconds, 1.0)
        await ctx.progress(
            int(share * sound.seconds),
            int(sound.seconds),
            part="encode_audio",
            product=PRODUCT,
            renditions={"sound": round(share, 4)},
        )

    async with ctx.originals.open(event.original) as original:
        with workspace(ctx.settings.work_dir) as into:
            recording = Recording(original.path, event.identity.content_type, track, event.probe.duration_seconds)
            facts = await encode_sound(ctx.ffmpeg, recording, event.plan, into, on_seconds=tell)
            place = event.media.media_id, event.plan.hash
            if path := written(into, SOUND):
                await ctx.objects.put_file(work_key(*place, SOUND), path, content_type="audio/mp4")
                failpoint("encode_audio.stored")
            # The facts last: where they are, the sound is.
            await ctx.objects.put(
                work_key(*place, SOUND_FACTS), facts.model_dump_json().encode(), content_type="application/json"
            )
    failpoint("encode_audio.told")
    return done
