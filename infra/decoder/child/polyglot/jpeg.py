"""JPEG: its segments, and the pictures that cameras put behind the first one. ISO/IEC 10918-1, annex B; CIPA DC-007."""

import re
from collections.abc import Generator, Iterator

from .source import After, Data, Part, Source, Text

_FIRST_CHUNK = 64
_CHUNK = 1024 * 1024
_PADDING = 64 * 1024
_COMMENT, _END = 0xFE, 0xD9
_APPLICATION = range(0xE0, 0xF0)
_ALONE = {0x01, 0xD8}
# In compressed data a marker is what is neither a stuffed zero, nor a restart, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def parts(source: Source) -> Iterator[Part]:
    """What each picture says about itself, then where the last one ends."""
    position = 0
    while True:
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
    while (found := _next_marker(source, position)) is not None:
        _, marker, *length = source.read(found, 4)
        if marker == _END:
            return found + 2
        position = found + 2
        if marker in _ALONE:
            continue
        position += int.from_bytes(length)
        if marker == _COMMENT:
            yield Text(source.read(found + 4, position - found - 4))
        elif marker in _APPLICATION:
            yield Data(source.read(found + 4, position - found - 4))
    return None


def _next_marker(source: Source, position: int) -> int | None:
    """The next one, behind compressed data, fill bytes, or what decoders skip with a warning."""
    size = _FIRST_CHUNK
    while len(chunk := source.read(position, size)) > 1:
        if found := _MARKER.search(chunk):
            return position + found.start()
        position += len(chunk) - 1  # it may lie across
        size = _CHUNK
    return None
