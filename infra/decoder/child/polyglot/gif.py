"""GIF: its blocks. https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

from collections.abc import Iterator

from .source import MOST_OF_A_PART, After, Data, Part, Source, Text

_HEADER = 13
_CHUNK = 64 * 1024
_EXTENSION, _IMAGE, _TRAILER, _COMMENT = 0x21, 0x2C, 0x3B, 0xFE


def parts(source: Source) -> Iterator[Part]:
    """Remarks and other extensions, then where it ends."""
    header = source.read(0, _HEADER)
    if len(header) < _HEADER:
        return
    position = _HEADER + _colours(header[10])
    while True:
        block = source.read(position, 10)
        if not block:
            return
        if block[0] == _TRAILER:
            yield After(position + 1, strict=True)
            return
        if block[0] == _EXTENSION and len(block) > 1:
            content, position = _blocks(source, position + 2)
            yield Text(content) if block[1] == _COMMENT else Data(content)
        elif block[0] == _IMAGE and len(block) == 10:  # noqa: PLR2004 -- an image descriptor
            _, position = _blocks(source, position + 11 + _colours(block[9]))
        else:  # what decoders skip
            yield After(position, strict=False)
            return


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(source: Source, position: int) -> tuple[bytes, int]:
    """What is in a row of sub-blocks, the first of it where it is long, and where they end."""
    kept: list[bytes] = []
    chunk, start, room = source.read(position, _CHUNK), position, MOST_OF_A_PART
    while True:
        at = position - start
        if at + 256 > len(chunk):
            chunk, start, at = source.read(position, _CHUNK), position, 0
        if not chunk:
            return b"".join(kept), position
        length = chunk[at]
        if not length:
            return b"".join(kept), position + 1
        if room > 0:
            kept.append(chunk[at + 1 : at + 1 + length])
            room -= length
        position += 1 + length
