"""Read an audio or video file with FFprobe, from its first packet to its last, and say what it is.

Every packet is demuxed, none decoded beyond what FFprobe needs to know the streams: that finds what is cut short or
broken in the container, in 1.2 s of one core for 470 MB of video. Decoding it would take minutes, and is the encoder's
to do.
"""

import re
from pathlib import Path

from infra.decoder import DecodeCode, DecodeRejected
from infra.ffmpeg.confined import INPUT
from infra.ffmpeg.reading import Reading
from infra.ffmpeg.run import Ffmpeg, Limits, Ran
from infra.ffmpeg.sources import CONTAINERS, listed
from infra.ffmpeg.streams import described
from infra.settings import Settings
from schemas.probe_av import AudioProbe, VideoProbe

_ENTRIES = (
    "packet=stream_index,pts_time,duration_time"
    ":stream=index,codec_name,codec_type,profile,width,height,sample_aspect_ratio,pix_fmt,bits_per_raw_sample,"
    "color_range,color_space,color_transfer,color_primaries,field_order,r_frame_rate,avg_frame_rate,sample_rate,"
    "channels,channel_layout"
    ":stream_tags=language:stream_disposition=attached_pic,default:stream_side_data=side_data_type,rotation"
    ":chapter=start_time,end_time:format=duration,bit_rate"
)
BYTES_PER_SECOND = 5 * 1024 * 1024  # a third of what was measured of an MP3 of 32 kbit/s; videos: 370 MB/s
WALL_TO_CPU = 3  # a machine that has better things to do is not the file's fault

# What FFmpeg says of a file, in the order in which it counts: https://github.com/FFmpeg/FFmpeg/tree/release/5.1, in
# libavformat/{mov,matroskadec,demux,oggdec,options}.c, libavutil/{imgutils,mem}.c and libavcodec/avcodec.c.
_COMPLAINTS: tuple[tuple[DecodeCode, str, str], ...] = (
    ("too_many_streams", r"exceeds max_streams", "it has more tracks than are accepted"),
    ("decode_memory", r"Cannot allocate memory", "it takes more memory than it may"),
    ("too_many_pixels", r"exceeds specified max pixel count", "its pictures have more pixels than are accepted"),
    (
        "truncated",
        r"partial file|File ended prematurely|Packet corrupt|moov atom not found|atom truncated|: End of file",
        "a part of what it announces is missing",
    ),
    ("corrupt", r"exceeds containing master element|CRC mismatch", "its structure is broken"),
)
# Said of every track that has such a codec; only of one that FFprobe gives the file up for the second line follows.
_RARE = re.compile(r"Codec \(.{1,64}\) not on whitelist.*\n.*Could not open codec for input stream (\d{1,5})")
_KINDS = {"Video": "pictures", "Audio": "sound", "Subtitle": "subtitles"}
# Formats of which FFmpeg does not notice that their end is missing, though they say how long they are. The difference
# that is left to a writer's own arithmetic: encoder delay is two frames of 26 ms.
_LENGTH_COUNTS = {"mp3", "flac"}
_LACKING_SECONDS = 0.25
_ESTIMATED = "Estimating duration from bitrate"
# A WAV that was written into a pipe says so, and can't lack what it never announced.
_ENDLESS = "Ignoring maximum wav data size"


async def probe_recording(ffmpeg: Ffmpeg, file: Path, content_type: str) -> AudioProbe | VideoProbe:
    """Say what an audio or video file is.

    Args:
        ffmpeg: Runs FFprobe.
        file: The whole file; a large one gets more time. For one without a name: `infra.decoder.named`.
        content_type: What it was identified as: one of `CONTAINERS`.

    Raises:
        DecodeRejected: `truncated`, `corrupt`, `type_mismatch` (no picture in a video, or one in an audio file),
            `unsupported_codec`, `too_many_pixels`, `too_many_streams`, `too_long`, `decode_…`.
        DecoderUnavailable: FFprobe could not be started.
    """
    demuxer, container = CONTAINERS[content_type]
    settings = ffmpeg.settings
    ran = await ffmpeg.run("ffprobe", _arguments(settings, content_type), file, _limits(settings, file))
    if rare := _RARE.search(ran.complained):
        kind = await _kind(ffmpeg, file, content_type, rare[1])
        raise DecodeRejected("unsupported_codec", f"track {rare[1]} ({kind}) has a rare codec")
    _require_content(ran)
    reading = Reading.of(ran.said)
    if demuxer in _LENGTH_COUNTS and _ESTIMATED not in ran.complained:
        _require_length(reading)
    found = described(reading, container, video=content_type.startswith("video/"), settings=settings)
    if found.duration_seconds > settings.max_duration_seconds:
        raise DecodeRejected(
            "too_long", f"{found.duration_seconds:,.0f} s; at most {settings.max_duration_seconds:,.0f}"
        )
    return found


def _limits(settings: Settings, file: Path) -> Limits:
    cpu = settings.decoder_timeout_seconds + file.stat().st_size / BYTES_PER_SECOND
    return Limits(settings.decoder_memory_bytes, int(cpu) + 1, WALL_TO_CPU * cpu)


async def _kind(ffmpeg: Ffmpeg, file: Path, content_type: str, track: str) -> str:
    """What a track is that FFprobe gave a file up for, which it lists before that."""
    arguments = _arguments(ffmpeg.settings, content_type, "info")
    ran = await ffmpeg.run("ffprobe", arguments, file, _limits(ffmpeg.settings, file))
    found = re.search(rf"^  Stream #0:{track}\b.*?: (Video|Audio|Subtitle): ", ran.complained, re.MULTILINE)
    return _KINDS[found[1]] if found else "data"


def _arguments(settings: Settings, content_type: str, verbosity: str = "warning") -> list[str]:
    return [
        *("-v", verbosity, "-threads", "1", *listed(settings, content_type, settings.decoder_memory_bytes)),
        *("-show_entries", _ENTRIES, "-of", "compact", INPUT),
    ]


def _require_content(ran: Ran) -> None:
    for code, words, reason in _COMPLAINTS:
        endless = code == "truncated" and _ENDLESS in ran.complained
        if re.search(words, ran.complained) and not endless:
            raise DecodeRejected(code, reason)
    if not ran.good:
        raise DecodeRejected("corrupt", "it can't be read")


def _require_length(reading: Reading) -> None:
    if reading.duration is not None and reading.duration - reading.measured > _LACKING_SECONDS:
        raise DecodeRejected("truncated", f"it says {reading.duration:.1f} s and has {reading.measured:.1f} s")
