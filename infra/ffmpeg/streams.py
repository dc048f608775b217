"""From what FFprobe printed to what is said of it."""

import re
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

from pydantic import ValidationError

from infra.decoder import DecodeRejected
from infra.ffmpeg.reading import Fields, Reading, integer, number
from infra.ffmpeg.sources import RARE
from infra.settings import Settings
from schemas.probe_av import (
    MOST_AUDIO_STREAMS,
    MOST_CHAPTERS,
    MOST_SUBTITLE_STREAMS,
    AudioProbe,
    Container,
    VideoProbe,
)

UNEVEN = 0.1  # of a frame, beyond rounding
ROUNDING_SECONDS = 0.001  # of a timestamp: Matroska counts milliseconds
REORDERED = 16  # the most frames that H.264 and HEVC present in another order than they are coded in
OFF_BASE_RATE = 0.01
OFF_BASE_FRAMES = 2
_TRANSFERS: dict[str, Literal["hdr10", "hlg"]] = {"smpte2084": "hdr10", "arib-std-b67": "hlg"}
_DEPTH = re.compile(r"(?:p|gray|rgb|bgr|rgba|gbrp|gbrap|ya)(9|10|12|14|16)(?:le|be)$")
_MATRIX_SWAPS = {90, 270}


def described(reading: Reading, container: Container, *, video: bool, settings: Settings) -> AudioProbe | VideoProbe:
    """Make the probe's model.

    Raises:
        DecodeRejected: `type_mismatch`, `unsupported_codec`, `too_many_pixels`, or `corrupt`: a value that can't be.
    """
    pictures = [each for each in _of(reading, "video") if each.get("disposition:attached_pic") != "1"]
    sounds = [each for each in _of(reading, "audio") if "codec_name" in each and "sample_rate" in each]
    pictures, sounds = _used_first(pictures), _used_first(sounds)
    if video and not pictures:
        raise DecodeRejected("type_mismatch", "there is no video in it")
    if not video:
        _require_sound(pictures, sounds, reading)
    if sounds and not _is_decoded(sounds[0]):
        raise DecodeRejected("unsupported_codec", f"track {sounds[0].get('index')} (sound) has a rare codec")
    common: dict[str, Any] = {
        "container": container,
        "duration_seconds": reading.seconds,
        "bit_rate": integer(reading.format.get("bit_rate")),
        "audio": [_audio(each) for each in sounds[:MOST_AUDIO_STREAMS]],
        "audio_streams": len(_of(reading, "audio")),
        "chapters": [_chapter(each) for each in reading.chapters[:MOST_CHAPTERS]],
        "chapter_count": len(reading.chapters),
    }
    try:
        if not video:
            return AudioProbe(**common, cover=bool(_of(reading, "video")))
        return VideoProbe(**common, **_video(pictures[0], reading, settings), **_subtitles(reading))
    except ValidationError as error:
        raise DecodeRejected("corrupt", "it claims what can't be") from error


def _require_sound(pictures: list[Fields], sounds: list[Fields], reading: Reading) -> None:
    if pictures:
        raise DecodeRejected("type_mismatch", "there is a video in it")
    if not _of(reading, "audio"):
        raise DecodeRejected("type_mismatch", "there is no sound in it")
    if not sounds:
        raise DecodeRejected("unsupported_codec", "its sound has an unknown codec")
    if not reading.seen & {integer(each.get("index")) for each in sounds}:
        raise DecodeRejected("corrupt", "there is no sound in it that can be read")


def _used_first(streams: list[Fields]) -> list[Fields]:
    """The track that is used, then the others: of those that can be decoded the only default one, or else the first."""
    decoded = [each for each in streams if _is_decoded(each)]
    defaults = [each for each in decoded if each.get("disposition:default") == "1"]
    used = defaults if len(defaults) == 1 else decoded[:1]
    return [*used, *(each for each in streams if each not in used)]


def _is_decoded(stream: Fields) -> bool:
    return "codec_name" in stream and stream["codec_name"] not in RARE


def _of(reading: Reading, kind: str) -> list[Fields]:
    return [each for each in reading.streams if each.get("codec_type") == kind]


def _video(stream: Fields, reading: Reading, settings: Settings) -> dict[str, Any]:
    width, height = integer(stream.get("width")) or 0, integer(stream.get("height")) or 0
    if "codec_name" not in stream or width < 1 or height < 1:
        raise DecodeRejected("unsupported_codec", f"track {stream.get('index')} (pictures) has an unknown codec")
    if not _is_decoded(stream):
        raise DecodeRejected("unsupported_codec", f"track {stream.get('index')} (pictures) has a rare codec")
    if width * height > settings.max_video_pixels:
        raise DecodeRejected(
            "too_many_pixels", f"{width:,} x {height:,} pixels; at most {settings.max_video_pixels:,} are accepted"
        )
    index = integer(stream.get("index")) or 0
    if "pix_fmt" not in stream or index not in reading.seen:
        # FFprobe decodes until it knows what the pixels are: not one picture could be.
        raise DecodeRejected("corrupt", "there is no picture in it that can be read")
    rotation = round(-(number(stream.get("rotation")) or 0) / 90) * 90 % 360
    shown = max(1, round(width * _aspect(stream))), height
    average, base = _rate(stream, "avg_frame_rate"), _rate(stream, "r_frame_rate")
    return {
        "index": index,
        "codec": stream["codec_name"],
        "profile": _profile(stream.get("profile")),
        "width": shown[rotation in _MATRIX_SWAPS],
        "height": shown[rotation not in _MATRIX_SWAPS],
        "coded_width": width,
        "coded_height": height,
        "rotation": rotation,
        "average_frame_rate": average,
        "base_frame_rate": base,
        "variable_frame_rate": _off(average, base, reading) or _uneven(reading.starts[index]),
        "pixel_format": stream["pix_fmt"],
        "bit_depth": _bit_depth(stream),
        **{name: stream.get(name) for name in ("color_range", "color_space", "color_transfer", "color_primaries")},
        "hdr": _hdr(stream),
        "interlaced": stream.get("field_order", "progressive") != "progressive",
    }


def _audio(stream: Fields) -> dict[str, Any]:
    return {
        "index": integer(stream.get("index")),
        "codec": stream["codec_name"],
        "profile": _profile(stream.get("profile")),
        "channels": integer(stream.get("channels")),
        "layout": _profile(stream.get("channel_layout")),
        "sample_rate": integer(stream["sample_rate"]),
        "language": _language(stream),
    }


def _subtitles(reading: Reading) -> dict[str, Any]:
    found = [each for each in _of(reading, "subtitle") if "codec_name" in each]
    listed = [
        {"index": integer(each.get("index")), "codec": each["codec_name"], "language": _language(each)}
        for each in found[:MOST_SUBTITLE_STREAMS]
    ]
    return {"subtitles": listed, "subtitle_streams": len(found)}


def _chapter(fields: Fields) -> dict[str, float]:
    start = max(number(fields.get("start_time")) or 0.0, 0.0)
    return {"start_seconds": start, "end_seconds": max(number(fields.get("end_time")) or 0.0, start)}


def _profile(value: str | None) -> str | None:
    return re.sub(r"[^A-Za-z0-9 .:+()/@-]", " ", value)[:24] if value else None


def _language(stream: Fields) -> str | None:
    value = stream.get("tag:language", "")
    return value if re.fullmatch(r"[A-Za-z0-9-]{1,12}", value) and value != "und" else None


def _aspect(stream: Fields) -> Fraction:
    wide, _, high = stream.get("sample_aspect_ratio", "1:1").partition(":")
    found = (integer(wide) or 0, integer(high) or 0)
    return Fraction(*found) if min(found) > 0 else Fraction(1)


def _rate(stream: Fields, name: str) -> str | None:
    value = stream.get(name, "")
    return value if re.fullmatch(r"[1-9][0-9]{0,9}/[1-9][0-9]{0,9}", value) else None


def _off(average: str | None, base: str | None, reading: Reading) -> bool:
    """Whether the average lacks frames: a hundredth, and more than a container's rounded duration explains."""
    if average is None or base is None:
        return False
    lacking = abs(Fraction(average) / Fraction(base) - 1)
    return lacking > OFF_BASE_RATE and lacking * Fraction(base) * Fraction(reading.seconds) > OFF_BASE_FRAMES


def _uneven(starts: list[float]) -> bool:
    """Whether frames follow each other in uneven steps, the largest of them apart: a file may begin with a gap."""
    # Packets come in the order of decoding: of the last ones the neighbours may be missing.
    ordered = sorted(set(starts))[:-REORDERED] if len(starts) > 2 * REORDERED else sorted(set(starts))
    steps = sorted(later - earlier for earlier, later in pairwise(ordered))[:-1]
    if not steps:
        return False
    return steps[-1] - steps[0] > 2 * ROUNDING_SECONDS + UNEVEN * steps[len(steps) // 2]


def _bit_depth(stream: Fields) -> int:
    if said := integer(stream.get("bits_per_raw_sample")):
        return said
    named = _DEPTH.search(stream["pix_fmt"])
    return int(named[1]) if named else 8


def _hdr(stream: Fields) -> str:
    if "DOVI" in stream.get("side_data_type", ""):
        return "dolby_vision"
    return _TRANSFERS.get(stream.get("color_transfer", ""), "none")
