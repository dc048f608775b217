"""How a video is cut and coded, from what was found in it and what its profile says."""

import asyncio
import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Final

from infra.ffmpeg import Ffmpeg
from infra.video.cutting import Cutting, cut
from infra.video.rungs import rungs
from infra.video.timeline import Timeline, read_timeline
from schemas.media import Identity
from schemas.objects import ObjectRef
from schemas.plan import Coding, Plan, Sound
from schemas.probe_av import VideoProbe
from schemas.profiles import VideoProfile

VERSION: Final = 2
"""Of how plans are made and followed: what is made by another is made anew, under another hash."""
# A sample of an MP4 lasts until the next one is decoded, and browsers show its picture that long: where pictures are
# reordered, the time that one is shown for counts for another. Chromium plays on over a few pictures' time.
_LONG_SECONDS: Final = 0.25
_COUNTS: Final = (
    *("rungs", "playable", "preset", "crf", "segment_seconds", "chunk_seconds"),
    *("audio_bit_rate", "loudness_lufs"),
)


async def make_plan(
    ffmpeg: Ffmpeg, file: Path, original: ObjectRef, identity: Identity, probe: VideoProbe, profile: VideoProfile
) -> tuple[Plan, Cutting]:
    """Read the video's times and plan.

    Raises:
        DecodeRejected: It can't be read.
    """
    sound = probe.audio[0].index if probe.audio else None
    timeline = await read_timeline(ffmpeg, file, identity.content_type, probe, sound)
    # Millions of frames take seconds, in which nobody else should have to wait.
    return await asyncio.to_thread(plan_of, timeline, original, probe, profile)


def plan_of(timeline: Timeline, original: ObjectRef, probe: VideoProbe, profile: VideoProfile) -> tuple[Plan, Cutting]:
    """The plan of a video whose times are known."""
    cutting = cut(timeline, profile.segment_seconds, profile.chunk_seconds)
    sound = _sound(timeline, probe, timeline.frames[0] * timeline.time_base)
    plan = Plan(
        hash=plan_hash(original, profile, cutting.digest, sound),
        rungs=rungs(probe, profile),
        time_base=f"{timeline.time_base.numerator}/{timeline.time_base.denominator}",
        timescale=cutting.timescale,
        first=timeline.frames[0],
        frames=len(timeline.frames),
        duration=cutting.duration,
        timeline=cutting.digest,
        chunks=len(cutting.chunks),
        segment_seconds=profile.segment_seconds,
        coding=Coding(
            preset=profile.preset,
            crf=profile.crf,
            b_frames=cutting.longest <= _LONG_SECONDS * cutting.timescale,
            audio_bit_rate=profile.audio_bit_rate,
            loudness_lufs=profile.loudness_lufs,
        ),
        sound=sound,
    )
    return plan, cutting


def plan_hash(original: ObjectRef, profile: VideoProfile, timeline: str, sound: Sound | None) -> str:
    """What the work on a video is named by: whatever makes it another is in here."""
    counting = profile.model_dump(mode="json", include=set(_COUNTS))
    told = [VERSION, original.sha256, original.key, timeline, sound and sound.index, counting]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _sound(timeline: Timeline, probe: VideoProbe, first: Fraction) -> Sound | None:
    """The track that is used, if there is anything of it after the video's first frame."""
    if timeline.sound_end is None or (seconds := timeline.sound_end - float(first)) <= 0:
        return None
    return Sound(index=probe.audio[0].index, seconds=seconds, frame_seconds=timeline.sound_frame)
