"""HLS playlists (RFC 8216) as they are stored, read strictly, and written again with addresses in place of names.

What lies in the bucket was made by FFmpeg of a stranger's file and isn't trusted: a line that is none of those known
here, or a name that is more than a file's beside the playlist, and nothing is handed on.
"""

import re
from collections.abc import Callable, Generator, Iterable
from typing import Final

LARGEST_BYTES: Final = 8 * 1024 * 1024
"""Twelve hours in pieces of six seconds are 0.7 MB."""

Link = Callable[[str], str]
"""A file's address by its name beside the playlist."""

_WORD: Final = "[a-z0-9][a-z0-9_-]{0,31}"
_PLAYLIST: Final = re.compile(rf"{_WORD}\.m3u8")
SEGMENT: Final = re.compile(rf"{_WORD}\.m4s")
INIT: Final = re.compile(rf"{_WORD}\.mp4")
_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]{1,32})=("[^"\r\n]{0,256}"|[A-Za-z0-9._-]{1,64})(?:,|$)')
_ENTRIES: Final = frozenset({"TYPE", "GROUP-ID", "NAME", "LANGUAGE", "DEFAULT", "AUTOSELECT", "CHANNELS", "URI"})
_VARIANT: Final = frozenset(
    {"BANDWIDTH", "AVERAGE-BANDWIDTH", "RESOLUTION", "CODECS", "AUDIO", "FRAME-RATE", "VIDEO-RANGE"}
)
_BOTH: Final = r"#EXT-X-VERSION:[0-9]{1,2}|#EXT-X-INDEPENDENT-SEGMENTS"
_KEPT_IN_MASTER: Final = re.compile(_BOTH)
_KEPT_IN_MEDIA: Final = re.compile(
    rf"{_BOTH}|#EXT-X-TARGETDURATION:[0-9]{{1,6}}|#EXT-X-MEDIA-SEQUENCE:[0-9]{{1,9}}|#EXT-X-PLAYLIST-TYPE:(?:VOD|EVENT)"
    r"|#EXTINF:[0-9]{1,6}(?:\.[0-9]{1,9})?,|#EXT-X-DISCONTINUITY|#EXT-X-ENDLIST"
)
_MAP: Final = re.compile(r'#EXT-X-MAP:URI="([^"]{1,64})"')
# When a piece was encoded is nobody's business, and no player's.
_LEFT_OUT: Final = "#EXT-X-PROGRAM-DATE-TIME:"


class PlaylistBroken(Exception):
    """What is stored is no playlist that Tidegate writes; the message says where."""


def master(text: str, link: Link) -> str:
    """A master playlist whose playlists have addresses.

    Raises:
        PlaylistBroken: It is none.
    """
    lines = ["#EXTM3U"]
    variant = False
    for number, line in _lines(text):
        if variant:
            lines.append(link(_named(line, _PLAYLIST, number)))
            variant = False
        elif line.startswith("#EXT-X-STREAM-INF:"):
            lines.append(f"#EXT-X-STREAM-INF:{_attributes(line, number, _VARIANT, link)}")
            variant = True
        elif line.startswith("#EXT-X-MEDIA:"):
            lines.append(f"#EXT-X-MEDIA:{_attributes(line, number, _ENTRIES, link)}")
        elif _KEPT_IN_MASTER.fullmatch(line):
            lines.append(line)
        else:
            raise PlaylistBroken(f"line {number} is none of a master playlist's")
    if variant or not any(line.startswith("#EXT-X-STREAM-INF:") for line in lines):
        raise PlaylistBroken("it lists no playlist")
    return _text(lines)


def media(text: str, link: Link) -> Generator[str]:
    """The lines of a media playlist whose segments have addresses, one by one: they may be thousands.

    Raises:
        PlaylistBroken: It is none.
    """
    yield "#EXTM3U"
    timed = False
    for number, line in _lines(text):
        if line.startswith(_LEFT_OUT):
            continue
        if not line.startswith("#"):
            if not timed:
                raise PlaylistBroken(f"line {number} is a segment without a length")
            yield link(_named(line, SEGMENT, number))
            timed = False
        elif (match := _MAP.fullmatch(line)) is not None:
            yield f'#EXT-X-MAP:URI="{link(_named(match[1], INIT, number))}"'
        elif _KEPT_IN_MEDIA.fullmatch(line):
            timed = timed or line.startswith("#EXTINF:")
            yield line
        else:
            raise PlaylistBroken(f"line {number} is none of a media playlist's")


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """Every line that says something after the first, with its number."""
    # Not splitlines: it splits at what is a character like any other here.
    first, *rest = text.split("\n")
    if first.rstrip("\r") != "#EXTM3U":
        raise PlaylistBroken("it doesn't begin as a playlist")
    return ((number, line.rstrip("\r")) for number, line in enumerate(rest, 2) if line.rstrip("\r"))


def _named(name: str, pattern: re.Pattern[str], number: int) -> str:
    if not pattern.fullmatch(name):
        raise PlaylistBroken(f"line {number} names no file beside it")
    return name


def _attributes(line: str, number: int, known: frozenset[str], link: Link) -> str:
    given = line.partition(":")[2]
    found, end = list[str](), 0
    while end < len(given):
        match = _ATTRIBUTE.match(given, end)
        if match is None or match[1] not in known:
            raise PlaylistBroken(f"line {number} has attributes that are not known here")
        name, value = match.groups()
        if name == "URI":
            value = f'"{link(_named(value.strip(chr(34)), _PLAYLIST, number))}"'
        found.append(f"{name}={value}")
        end = match.end()
    return ",".join(found)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
