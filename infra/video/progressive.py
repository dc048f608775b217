"""One MP4 of a whole video that any browser plays from its first bytes on: H.264, AAC, no word of metadata."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.ffmpeg import Ffmpeg, probe_recording
from infra.ffmpeg.complaints import refuse
from infra.ffmpeg.confined import OUTPUT
from infra.ffmpeg.filters import Size, fitted, picture
from infra.ffmpeg.recording import FROM_ZERO, Recording
from infra.ffmpeg.sound import AAC_RATES
from infra.ffmpeg.written import written
from infra.settings import MIB
from infra.video.footage import Footage
from schemas.probe_av import VideoProbe

FILE: Final = "progressive.mp4"
TICKS: Final = 90_000  # a second, into which the times of all usual frame rates fall exactly
BUFFER_SECONDS: Final = 2
"""What a player is taken to have buffered: how far the bit rate may be exceeded for a moment."""
_TOLD: Final = re.compile(r"out_time_us=([0-9]{1,15})")

OnProgress = Callable[[float], Awaitable[None]]
"""Told how far it is: from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the MP4 is like.

    Attributes:
        longer: The longer side of the box that it fits into, in pixels; a smaller video is not enlarged.
        shorter: The shorter one.
        preset: x264's.
        crf: x264's constant quality, from 0 to 51.
        bit_rate: Bits a second that its pictures take at most.
        audio_bit_rate: Of AAC, in mono or stereo.
    """

    longer: int
    shorter: int
    preset: str
    crf: int
    bit_rate: int
    audio_bit_rate: int


@dataclass(frozen=True, slots=True)
class Mp4:
    """What was made, and what FFprobe says of it."""

    file: Path
    probe: VideoProbe
    frames: int


async def encode(
    ffmpeg: Ffmpeg, footage: Footage, wish: Wish, into: Path, *, threads: int, on_progress: OnProgress
) -> Mp4:
    """Encode every frame that can be decoded, each at its own time, and the sound.

    Args:
        ffmpeg: Runs FFmpeg.
        footage: What from.
        wish: What is wanted.
        into: The directory to write into.
        threads: How many decoder and encoder get, each.
        on_progress: Told twice a second how far it is.

    Raises:
        DecodeRejected: It can't be decoded; the code says why, as far as FFmpeg does.
        DecoderUnavailable: FFmpeg could not be started.
        OSError: No space is left.
    """
    size = fitted(footage.probe, wish.longer, wish.shorter, even=True)
    seconds = max(footage.probe.duration_seconds, 0.001)
    frames = 0

    async def told(line: str) -> None:
        nonlocal frames
        name, _, value = line.partition("=")
        if name == "frame" and value.strip().isdecimal():
            frames = int(value)
        if found := _TOLD.fullmatch(line):
            await on_progress(min(int(found[1]) / 1e6 / seconds, 1.0))

    # Twice what the bit rates make: a file may last longer than it says.
    most = 64 * MIB + int((wish.bit_rate + wish.audio_bit_rate) / 4 * seconds)
    limits = footage.limits(ffmpeg.settings, 2 * footage.pixels, most)
    arguments = [
        *footage.opened(ffmpeg.settings, threads=threads),
        *("-progress", "pipe:1", "-stats_period", "0.5", "-filter_complex_threads", str(threads)),
        *_coded(footage, wish, size, threads),
    ]
    ran = await ffmpeg.run("ffmpeg", arguments, footage.file, limits, output=into, on_line=told, background=True)
    path = written(into, FILE)
    if not ran.good or path is None or not frames:
        raise refuse(ran)
    probe = await probe_recording(ffmpeg, path, "video/mp4")
    assert isinstance(probe, VideoProbe)
    return Mp4(path, probe, frames)


def _coded(footage: Footage, wish: Wish, size: Size, threads: int) -> list[str]:
    # Frames that claim the same time, or go back, follow each other tick by tick: none is lost.
    timed = f"settb=1/{TICKS},setpts='if(isnan(PREV_OUTPTS),PTS,max(PTS,PREV_OUTPTS+1))'"
    graph = [f"{footage.label}{picture(footage.probe, size)},{timed}[picture]"]
    arguments = [
        *("-map", "[picture]", "-c:v", "libx264", "-preset", wish.preset, "-profile:v", "high"),
        *("-crf", str(wish.crf), "-maxrate", str(wish.bit_rate), "-bufsize", str(BUFFER_SECONDS * wish.bit_rate)),
        *("-threads:v", str(threads), "-fps_mode", "passthrough", "-enc_time_base", f"1:{TICKS}"),
        # Captions would be a stranger's bytes handed on.
        *("-video_track_timescale", str(TICKS), "-a53cc", "0"),
    ]
    if footage.probe.audio:
        track = footage.probe.audio[0]
        sound = Recording(footage.file, footage.content_type, track, footage.probe.duration_seconds)
        rate = next((each for each in AAC_RATES if each >= track.sample_rate), AAC_RATES[-1])
        graph.append(f"{sound.label}{FROM_ZERO},{sound.mixed(min(2, track.channels))}[sound]")
        arguments += ["-map", "[sound]", "-c:a", "aac", "-ar", str(rate), "-b:a", str(wish.audio_bit_rate)]
    return [
        *("-filter_complex", ";".join(graph), *arguments, "-map_metadata", "-1", "-map_chapters", "-1"),
        *("-fflags", "+bitexact", "-flags", "+bitexact", "-movflags", "+faststart", "-f", "mp4", "-y"),
        f"{OUTPUT}/{FILE}",
    ]
