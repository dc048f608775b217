"""What a sound file says of itself, and the cover that is attached to it.

FFprobe hands the words on as bytes: whoever wrote an ID3v1 tag or a WAV's list meant Latin-1 by them, as often as not.
https://id3.org/ID3v1, https://ffmpeg.org/ffprobe.html#flat
"""

import re
from dataclasses import dataclass
from pathlib import Path

from infra.decoder import DecodeRejected
from infra.decoder.child.words import plain
from infra.ffmpeg.confined import INPUT, OUTPUT
from infra.ffmpeg.recording import Recording
from infra.ffmpeg.run import Ffmpeg
from infra.ffmpeg.sources import listed
from infra.ffmpeg.written import written
from infra.settings import MIB

# Name to characters at most, as `schemas.renditions.TagsDescription` has them.
LONGEST = {"title": 256, "artist": 256, "album": 256, "album_artist": 256, "track": 16, "date": 32, "genre": 64}
WORDS_BYTES = 64 * MIB
COVER_BYTES = 64 * MIB
_LINE = re.compile(rb'(format|streams\.stream\.(\d+))\.(tags|disposition)\.([A-Za-z_]+)=(?:"(.*)"|(\d+))', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_FRONT = "cover (front)"  # ID3's and FLAC's picture type 3, in FFmpeg's words


@dataclass(frozen=True, slots=True)
class Tags:
    """What was found.

    Attributes:
        words: By the names of `LONGEST`; what isn't there, or has nothing to read in it, is left out.
        cover: Number of the stream that holds the cover.
    """

    words: dict[str, str]
    cover: int | None


async def read_words(ffmpeg: Ffmpeg, recording: Recording, directory: Path) -> Tags:
    """Read the tags, and find the front cover, or else the first picture.

    Raises:
        DecodeRejected: `corrupt`, `bomb`: words without end; `decode_…`.
        DecoderUnavailable: FFprobe could not be started.
    """
    settings = ffmpeg.settings
    names = ",".join([*LONGEST, "comment"])
    arguments = [
        *("-v", "error", "-threads", "1"),
        *listed(settings, recording.content_type, settings.decoder_memory_bytes),
        *("-show_entries", f"format_tags={names}:stream_tags={names}:stream_disposition=attached_pic"),
        *("-of", "flat=string_validation=ignore", "-o", f"{OUTPUT}/words", INPUT),
    ]
    limits = recording.limits(settings, WORDS_BYTES)
    ran = await ffmpeg.run("ffprobe", arguments, recording.file, limits, output=directory)
    path = written(directory, "words")
    if not ran.good:
        raise DecodeRejected("corrupt", "it can't be read")
    return _tags(path.read_bytes() if path else b"", recording.track.index)


async def take_cover(ffmpeg: Ffmpeg, recording: Recording, stream: int, directory: Path) -> Path | None:
    """Copy an attached picture out of a recording, as it is: only a decoder child may look into it.

    Raises:
        DecodeRejected: `bomb`: it is larger than `COVER_BYTES`; `decode_…`.
        DecoderUnavailable: FFmpeg could not be started.
    """
    settings = ffmpeg.settings
    arguments = [
        *("-nostdin", "-v", "error", "-threads", "1", *recording.told(settings), "-i", INPUT),
        *("-map", f"0:{stream}", "-c", "copy", "-frames:v", "1", "-f", "rawvideo", f"{OUTPUT}/cover"),
    ]
    limits = recording.limits(settings, COVER_BYTES)
    ran = await ffmpeg.run("ffmpeg", arguments, recording.file, limits, output=directory)
    return written(directory, "cover") if ran.good else None


def _tags(printed: bytes, track: int) -> Tags:
    found: dict[str, dict[str, str]] = {}
    pictures: list[int] = []
    for line in printed.split(b"\n"):
        parsed = _LINE.fullmatch(line)
        if parsed is None:
            continue
        section, number, what, name, text, value = parsed.groups()
        place = number.decode() if number else section.decode()
        if what == b"disposition":
            pictures += [int(place)] if value == b"1" else []
        else:
            found.setdefault(place, {}).setdefault(name.decode().lower(), _decoded(text or b""))
    # Ogg's words belong to the track, all others' to the file.
    said = {**found.get(str(track), {}), **found.get("format", {})}
    words = {name: text for name, most in LONGEST.items() if (text := plain(said.get(name, ""), most))}
    fronts = [each for each in pictures if found.get(str(each), {}).get("comment", "").lower() == _FRONT]
    return Tags(words, next(iter([*fronts, *pictures]), None))


def _decoded(escaped: bytes) -> str:
    """As UTF-8 where it is that, else as Windows's Latin-1, which few bytes have no meaning in."""
    raw = _ESCAPED.sub(lambda found: {b"n": b"\n", b"r": b"\r"}.get(found[1], found[1]), escaped)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")
