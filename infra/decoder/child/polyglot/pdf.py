"""PDF: what stands before its first object and behind its last end. ISO 32000-1, 7.5."""

import re
from collections.abc import Iterator

from .source import After, Part, Source, Text

_HEAD = 1024
_TAIL = 2048
_FIRST_OBJECT = re.compile(rb"\d+\s+\d+\s+obj\b")


def parts(source: Source) -> Iterator[Part]:
    """The remarks under the header, where readers of something else would begin, and the end."""
    head = source.read(0, _HEAD)
    first = _FIRST_OBJECT.search(head)
    yield Text(head[len(b"%PDF-") : first.start() if first else _HEAD])
    start = max(0, source.size - _TAIL)
    tail = source.read(start, _TAIL)
    at = tail.rfind(b"%%EOF")
    if at >= 0 and len(tail) == source.size - start:
        yield After(start + at + 5, strict=False)
