"""Whether a file is all there and not built to hurt, from its outermost structure: before any decoder runs.

PNG: https://www.w3.org/TR/png-3/#5DataRep. GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt. WebP:
https://developers.google.com/speed/webp/docs/riff_container. HEIC and AVIF: ISO/IEC 14496-12, section 4.2.
"""

import os
import struct
from io import SEEK_CUR
from typing import Any, BinaryIO

from .rejected import Rejected

MOST_CHUNKS = 100_000  # a PNG of 800 MB with the usual 8 KiB a chunk; walking them takes 0.1 s
LONGEST_PAGE = 27 + 255 + 255 * 255  # bytes of Ogg: https://www.rfc-editor.org/rfc/rfc3533#section-6
_SHORTER = "the file is shorter than it says"


def png(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Follow the chunks to IEND.

    Raises:
        Rejected: `truncated`, or `bomb`: chunks without end.
    """
    file.seek(8)
    for _ in range(MOST_CHUNKS):
        length, name = _head(file, ">I4s")
        if name == b"IEND":
            return None
        if file.seek(length + 4, SEEK_CUR) > size:
            raise Rejected("truncated", _SHORTER)
    raise Rejected("bomb", f"the picture has more than {MOST_CHUNKS} chunks")


def gif(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Follow the blocks to the trailer.

    Raises:
        Rejected: `truncated`, or `corrupt`: something that is no block.
    """
    file.seek(10)
    flags, _, _ = _head(file, "BBB")
    _skip_colours(file, flags)
    while (block := file.read(1)) != b";":
        if block == b",":
            *_, flags = _head(file, "<4HB")
            _skip_colours(file, flags)
        elif block and block != b"!":
            raise Rejected("corrupt", "something between the frames is none")
        _head(file, "B")  # LZW's code size, or the extension's label
        while length := _head(file, "B")[0]:
            if file.seek(length, SEEK_CUR) > size:
                raise Rejected("truncated", _SHORTER)


def webp(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Read the canvas's size: the decoder allocates it on opening.

    Raises:
        Rejected: `truncated`, or `corrupt`: it begins with no image.
    """
    _, length, _, name, _ = _head(file, "<4sI4s4sI")
    if length + 8 > size:
        raise Rejected("truncated", _SHORTER)
    if name == b"VP8X":
        fields = _head(file, "<4x6B")
        return 1 + _int24(fields[:3]), 1 + _int24(fields[3:])
    if name == b"VP8 ":
        width, height = _head(file, "<6xHH")
        return width & 0x3FFF, height & 0x3FFF
    if name == b"VP8L":
        (bits,) = _head(file, "<xI")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise Rejected("corrupt", "it begins with no image")


def moves(file: BinaryIO) -> bool:
    """Whether a WebP says that it is an animation."""
    file.seek(12)
    name, flags = _head(file, "<4s4xB")
    return name == b"VP8X" and bool(flags & 0x02)


def boxes(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Follow the outermost boxes to the end of the file.

    Raises:
        Rejected: `truncated`, `corrupt`, or `bomb`: boxes without end.
    """
    position = 0
    for _ in range(MOST_CHUNKS):
        if position >= size:
            return None
        file.seek(position)
        length, _ = _head(file, ">I4s")
        if length == 0:
            return None
        if length == 1:
            (length,) = _head(file, ">Q")
        if length < 8:  # noqa: PLR2004 -- its own head
            raise Rejected("corrupt", "a box is shorter than its head")
        position += length
        if position > size:
            raise Rejected("truncated", _SHORTER)
    raise Rejected("bomb", f"the file has more than {MOST_CHUNKS} boxes")


def ogg(file: int, _args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """See that the file ends where its last page does: a job, since FFmpeg takes what is there for all there was.

    Raises:
        Rejected: `truncated`.
    """
    size = os.fstat(file).st_size
    tail = os.pread(file, LONGEST_PAGE, max(0, size - LONGEST_PAGE))
    at = tail.rfind(b"OggS")
    segments = tail[at + 27 : at + 27 + tail[at + 26]] if at >= 0 and len(tail) - at > 26 else b""  # noqa: PLR2004 -- a page's head
    if not segments or len(tail) - at != 27 + len(segments) + sum(segments):
        raise Rejected("truncated", "its last page is not all there")
    return {}


def _head(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    read = file.read(struct.calcsize(layout))
    try:
        return struct.unpack(layout, read)
    except struct.error:
        raise Rejected("truncated", "the end of the file is missing") from None


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 * 2 ** ((flags & 7) + 1), SEEK_CUR)


def _int24(three: tuple[int, ...]) -> int:
    return three[0] | three[1] << 8 | three[2] << 16
