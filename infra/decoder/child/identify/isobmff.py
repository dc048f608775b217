"""ISO base media files: MP4, QuickTime, 3GPP, HEIC and AVIF, told apart by their brands and their tracks.

ISO/IEC 14496-12; the brands are at https://mp4ra.org/registered-types/brands. Any player takes any of these for any
other, so what the brands don't say, the tracks do.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .libmagic import UNKNOWN
from .view import TooScattered, View

MOST_BOXES = 32
_HEADER = 16
_LONGEST_BRANDS = 1024

_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_AVIF = {b"avif", b"avis"}
_ANY_IMAGE = {b"mif1", b"mif2", b"msf1", b"miaf"}
_AUDIO = {b"M4A ", b"M4B "}
_3GPP = b"3gp", b"3gg", b"3gs", b"3gr", b"3ge"
_MP4 = b"iso", b"mp4", b"M4V", b"avc1", b"dash", b"cmf", b"mp71", b"MSNV", b"XAVC", b"hvc1", b"av01"
# What also names an MP4 brand to be compatible with, and is something else.
_OTHERS = {b"crx ": "image/x-canon-cr3", b"jp2 ": "image/jp2", b"jpx ": "image/jpx", b"mjp2": "video/mj2"}
_FIRST = {b"ftyp", b"wide", b"free", b"skip", b"pnot"}  # QuickTime did without ftyp for long


class Box(NamedTuple):
    """One box: where its header and its body begin, and where it ends, which may be past its parent's end."""

    type: bytes
    start: int
    body: int
    end: int


def matches(head: bytes) -> bool:
    """Whether this is how such a file begins."""
    if head[4:8] in {b"mdat", b"moov"}:
        return True
    return head[4:8] in _FIRST and head.startswith(b"\0")  # most are words: "The free press" has no length in front


def judge(view: View) -> str:
    """Say which of them it is; `application/octet-stream` for brands that nobody knows."""
    first = next(boxes(view, 0, view.size), None)
    if first is None:
        return UNKNOWN
    if first.type != b"ftyp":
        return "video/quicktime" if _movie(view) else UNKNOWN
    if not _HEADER <= first.end <= _LONGEST_BRANDS:
        return UNKNOWN
    brands = view.read(first.body, first.end - first.body)
    major, known = brands[:4], {brands[at : at + 4] for at in (0, *range(8, len(brands), 4))}
    if major in _OTHERS:
        return _OTHERS[major]
    if major in _HEIC | _AVIF | _ANY_IMAGE:
        return "image/avif" if known & _AVIF else "image/heic" if known & _HEIC else "image/heif"
    if major in _AUDIO:
        return "audio/mp4"
    if major == b"qt  ":
        return "video/quicktime"
    if major.startswith(_3GPP):
        return "video/3gpp"
    if any(brand.startswith(_MP4) for brand in known):
        return "audio/mp4" if _only_sound(view) else "video/mp4"
    return UNKNOWN


def boxes(view: View, start: int, end: int) -> Iterator[Box]:
    """The boxes that stand one after another between two offsets; the first `MOST_BOXES` of them."""
    for _ in range(MOST_BOXES):
        header = view.read(start, _HEADER)
        size, type_ = int.from_bytes(header[:4]), header[4:8]
        body = start + 8
        if size == 1:
            size, body = int.from_bytes(header[8:16]), start + 16
        elif size == 0:
            size = end - start
        if len(type_) < 4 or size < body - start:  # noqa: PLR2004 -- a four-character code
            return
        yield Box(type_, start, body, start + size)
        start += size
        if start + 8 > end:
            return


def _movie(view: View) -> Box | None:
    return next((box for box in boxes(view, 0, view.size) if box.type == b"moov"), None)


def _only_sound(view: View) -> bool:
    """Whether there are tracks, and sound alone in them (a title or a chapter's name is no picture)."""
    handlers: set[bytes] = set()
    try:
        for handler in _handlers(view):
            if handler == b"vide":
                return False
            handlers.add(handler)
    except TooScattered:
        return False
    return b"soun" in handlers


def _handlers(view: View) -> Iterator[bytes]:
    movie = _movie(view)
    tracks = boxes(view, movie.body, min(movie.end, view.size)) if movie else ()
    for track in tracks:
        if track.type == b"trak":
            for media in boxes(view, track.body, track.end):
                if media.type == b"mdia":
                    yield from (
                        view.read(box.body + 8, 4) for box in boxes(view, media.body, media.end) if box.type == b"hdlr"
                    )
