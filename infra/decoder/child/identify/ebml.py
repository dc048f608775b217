"""Matroska and WebM: the document type in the EBML header, and whether there is more than sound in the tracks.

RFC 8794 (EBML) and RFC 9559 (Matroska). Browsers record sound alone into WebM, too.
"""

from collections.abc import Iterator

from .libmagic import UNKNOWN
from .view import TooScattered, View

MAGIC = b"\x1a\x45\xdf\xa3"

_DOC_TYPE, _SEGMENT, _TRACKS, _TRACK, _TRACK_TYPE, _CLUSTER = 0x4282, 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0x1F43B675
_SOUND = 2
_LONGEST_HEADER = 12  # an id of 4 bytes, a length of 8
_MOST_ELEMENTS = 64


def judge(view: View) -> str:
    """Say which of them it is; `application/octet-stream` for another document type."""
    header = next(_elements(view, 0, view.size), None)
    if header is None:
        return UNKNOWN
    _, body, end = header
    named = next((view.read(*_span(each)) for each in _elements(view, body, end) if each[0] == _DOC_TYPE), b"")
    match named.rstrip(b"\0"):
        case b"webm":
            return "audio/webm" if _only_sound(view, end) else "video/webm"
        case b"matroska":
            return "audio/x-matroska" if _only_sound(view, end) else "video/x-matroska"
        case _:
            return UNKNOWN


def _only_sound(view: View, start: int) -> bool:
    try:
        types = list(_track_types(view, start))
    except TooScattered:
        return False
    return bool(types) and set(types) == {_SOUND}


def _track_types(view: View, start: int) -> Iterator[int]:
    for segment in _elements(view, start, view.size):
        if segment[0] == _SEGMENT:
            for part in _elements(view, *segment[1:]):
                if part[0] == _CLUSTER:
                    return
                if part[0] == _TRACKS:
                    for track in _elements(view, *part[1:]):
                        if track[0] == _TRACK:
                            yield from (
                                int.from_bytes(view.read(*_span(each)))
                                for each in _elements(view, *track[1:])
                                if each[0] == _TRACK_TYPE
                            )
                    return


def _elements(view: View, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The elements between two offsets: id, beginning and end of what is in each."""
    for _ in range(_MOST_ELEMENTS):
        if start >= min(end, view.size):
            return
        header = view.read(start, _LONGEST_HEADER)
        id_length = 9 - header[0].bit_length()
        if id_length > 4 or len(header) <= id_length:  # noqa: PLR2004 -- RFC 9559: EBMLMaxIDLength
            return
        length = 9 - header[id_length].bit_length()
        if length > 8 or len(header) < id_length + length:  # noqa: PLR2004 -- RFC 9559: EBMLMaxSizeLength
            return
        mask = (1 << 7 * length) - 1
        value = int.from_bytes(header[id_length : id_length + length]) & mask
        body = start + id_length + length
        stop = end if value == mask else body + value  # all ones: until the parent ends, as a browser records
        yield int.from_bytes(header[:id_length]), body, stop
        start = stop


def _span(element: tuple[int, int, int]) -> tuple[int, int]:
    _, body, end = element
    return body, min(end - body, 64)
