"""JPEG: its segments, and the pictures that cameras put behind the first one. ISO/IEC 10918-1, annex B; CIPA DC-007."""

import re
from collections.abc import Generator, Iterator

from .source import After, Data, Part, Source, Text

_MOST_PICTURES = 64
_MOST_SEGMENTS = 10_000
_CHUNK = 1024 * 1024
_PADDING = 64 * 1024
_COMMENT, _SCAN, _END = 0xFE, 0xDA, 0xD9
_APPLICATION = range(0xE0, 0xF0)
_ALONE = {0x01, *range(0xD0, 0xD9)}
# In compressed data a marker is what is neither a stuffed zero, nor a restart, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def parts(source: Source) -> Iterator[Part]:
    """What each picture says about itself, then where the last one ends."""
    position = 0
    for _ in range(_MOST_PICTURES):
        end = yield from _picture(source, position)
        if end is None:
            return
        padding = source.read(end, _PADDING)
        position = end + len(padding) - len(padding.lstrip(b"\0\xff"))
        if position > end and source.read(position, 1) == b"\xd8":
            position -= 1  # the marker's own first byte was taken for padding
        if source.read(position, 2) != b"\xff\xd8":  # the previews and gain maps of a multi-picture file
            yield After(end, strict=False)
            return


def _picture(source: Source, start: int) -> Generator[Part, None, int | None]:
    position = start + 2
    for _ in range(_MOST_SEGMENTS):
        header = source.read(position, 4)
        while header[:2] == b"\xff\xff":
            position += 1
            header = source.read(position, 4)
        if len(header) < 2 or header[0] != 0xFF:  # noqa: PLR2004 -- a marker
            return None
        marker = header[1]
        if marker == _END:
            return position + 2
        if marker in _ALONE:
            position += 2
            continue
        length = int.from_bytes(header[2:])
        if marker == _COMMENT:
            yield Text(source.read(position + 4, length - 2))
        elif marker in _APPLICATION:
            yield Data(source.read(position + 4, length - 2))
        position += 2 + length
        if marker == _SCAN:
            found = _next_marker(source, position)
            if found is None:
                return None
            position = found
    return None


def _next_marker(source: Source, position: int) -> int | None:
    while chunk := source.read(position, _CHUNK):
        if found := _MARKER.search(chunk):
            return position + found.start()
        if len(chunk) == 1:
            return None
        position += len(chunk) - 1  # a marker may lie across
    return None
