"""Sounds of every format, made by FFmpeg, and what they sound like: decoded by FFmpeg, outside of Tidegate."""

import io
import struct
import subprocess
from array import array
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

from PIL import Image

from tests.samples.av import made

# Two channels that nobody can take for each other: one rises, one falls.
SWEEP = "aevalsrc=0.4*sin(2*PI*(300+200*t)*t)|0.27*sin(2*PI*(900-200*t)*t):s={rate}:d={seconds}"
SURROUND = (
    "aevalsrc=0.3*sin(2*PI*300*t)|0.3*sin(2*PI*500*t)|0.2*sin(2*PI*700*t)|0.1*sin(2*PI*60*t)|0.1*sin(2*PI*900*t)"
    "|0.1*sin(2*PI*1100*t):s=48000:d=1:c=5.1"
)


def sweep(seconds: float = 1.0, rate: int = 44_100) -> tuple[str, ...]:
    """FFmpeg's arguments for two channels."""
    return ("-f", "lavfi", "-i", SWEEP.format(rate=rate, seconds=seconds))


# Name to content type and FFmpeg's arguments.
_RECIPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "cbr.mp3": ("audio/mpeg", (*sweep(), "-c:a", "libmp3lame", "-b:a", "128k")),
    "vbr.mp3": ("audio/mpeg", (*sweep(), "-c:a", "libmp3lame", "-q:a", "5")),
    "mono.mp3": ("audio/mpeg", (*sweep(), "-ac", "1", "-ar", "22050", "-c:a", "libmp3lame")),
    "plain.flac": ("audio/flac", (*sweep(), "-c:a", "flac")),
    "deep.flac": ("audio/flac", (*sweep(rate=96_000), "-c:a", "flac", "-sample_fmt", "s32")),
    "surround.flac": ("audio/flac", ("-f", "lavfi", "-i", SURROUND, "-c:a", "flac")),
    "vorbis.ogg": ("audio/ogg", (*sweep(), "-c:a", "libvorbis")),
    "opus.ogg": ("audio/ogg", (*sweep(rate=48_000), "-c:a", "libopus")),
    "aac.m4a": ("audio/mp4", (*sweep(), "-c:a", "aac")),
    "alac.m4a": ("audio/mp4", (*sweep(), "-c:a", "alac")),
    "surround.m4a": ("audio/mp4", ("-f", "lavfi", "-i", SURROUND, "-c:a", "aac")),
    "adts.aac": ("audio/aac", (*sweep(), "-c:a", "aac")),
    "u8.wav": ("audio/wav", (*sweep(), "-c:a", "pcm_u8")),
    "s16.wav": ("audio/wav", (*sweep(), "-c:a", "pcm_s16le")),
    "s24.wav": ("audio/wav", (*sweep(rate=48_000), "-c:a", "pcm_s24le")),
    "f32.wav": ("audio/wav", (*sweep(), "-c:a", "pcm_f32le")),
    "voice.wav": ("audio/wav", (*sweep(rate=8_000), "-ac", "1", "-c:a", "pcm_alaw")),
    "browser.weba": ("audio/webm", (*sweep(rate=48_000), "-c:a", "libopus", "-f", "webm")),
}  # fmt: skip
NAMES = tuple(_RECIPES)
TYPE = {name: content_type for name, (content_type, _) in _RECIPES.items()}


@cache
def sound(name: str) -> bytes:
    """A sound by its name."""
    return made(name, *_RECIPES[name][1])


def waves(*channels: str, rate: int = 48_000, seconds: float = 1.0) -> tuple[str, ...]:
    """FFmpeg's arguments for channels that are functions of `t`: https://ffmpeg.org/ffmpeg-utils.html#Expression-Evaluation."""
    functions = "|".join(channels).replace(",", "\\,")
    return ("-f", "lavfi", "-i", f"aevalsrc={functions}:s={rate}:d={seconds}")


def decoded(path: Path, *, rate: int | None = None, channels: int | None = None) -> "list[array[float]]":
    """Each channel's samples, at the file's own rate unless another is asked for."""
    wanted = [*(["-ar", str(rate)] if rate else []), *(["-ac", str(channels)] if channels else [])]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), *wanted, "-c:a", "pcm_f32le", "-f", "wav", "-"]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    (count,) = struct.unpack_from("<H", wav, wav.index(b"fmt ") + 10)
    samples = array("f", wav[wav.index(b"data") + 8 :])
    return [samples[number::count] for number in range(count)]


def alike(first: Iterable[float], second: Iterable[float], shifts: int = 0) -> float:
    """How much two sounds are one: 1 for the same, however loud; the best of a few shifts by whole samples."""
    left, right = list(first), list(second)
    return max(_correlation(left, right[shift:]) for shift in range(shifts + 1))


def _correlation(left: list[float], right: list[float]) -> float:
    product = sum(one * other for one, other in zip(left, right, strict=False))
    length = min(len(left), len(right))
    power = sum(one * one for one in left[:length]) * sum(other * other for other in right[:length])
    return product / power**0.5 if power else 0.0


def words(name: str, *tags: str, form: tuple[str, ...] = ()) -> bytes:
    """A sound with tags: `title=…`."""
    said = [part for tag in tags for part in ("-metadata", tag)]
    return made(name, *_RECIPES[name][1], *said, *form)


def id3v2(version: int, *frames: tuple[str, bytes]) -> bytes:
    """An ID3 tag of version 2.3 or 2.4: https://id3.org/id3v2.4.0-structure."""
    body = b""
    for name, payload in frames:
        size = _syncsafe(len(payload)) if version == 4 else struct.pack(">I", len(payload))
        body += name.encode() + size + b"\0\0" + payload
    return b"ID3" + bytes([version, 0, 0]) + _syncsafe(len(body)) + body


def picture_frame(picture: bytes, kind: int = 3, content_type: str = "image/jpeg") -> tuple[str, bytes]:
    """An attached picture as ID3 has it; kind 3 is the front cover."""
    return "APIC", b"\0" + content_type.encode() + b"\0" + bytes([kind]) + b"\0" + picture


def id3v1(**fields: bytes) -> bytes:
    """An ID3 tag of version 1: https://id3.org/ID3v1."""
    widths = {"title": 30, "artist": 30, "album": 30, "year": 4, "comment": 30}
    return (
        b"TAG" + b"".join(fields.get(name, b"").ljust(width, b"\0")[:width] for name, width in widths.items()) + b"\7"
    )


def bare_mp3() -> bytes:
    """An MP3 without any tag, to put one on."""
    return made("bare.mp3", *sweep(), "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0")


def photo(size: tuple[int, int] = (640, 480), orientation: int = 1, **options: object) -> bytes:
    """A JPEG with a place and a device in its EXIF, red on its left and blue on its right."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Secret Maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    written = io.BytesIO()
    image.save(written, "JPEG", exif=exif, comment=b"Secret comment", **options)
    return written.getvalue()


def rises(values: Iterable[float]) -> bool:
    """Whether none is less than the one before."""
    return all(later >= earlier for earlier, later in pairwise(values))


def _syncsafe(size: int) -> bytes:
    return bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
