"""Boxes and chunks: what MP4, QuickTime, HEIC, AVIF, WAV, WebP and AVI are made of."""

from collections.abc import Iterator

from .source import MOST_OF_A_PART, After, Data, Part, Source

_BEGINNING = 1024
_RIFF_LISTS = {b"RIFF", b"LIST"}


def boxes(source: Source) -> Iterator[Part]:
    """Whatever a player skips (`free`, `uuid`, what it doesn't know), how `mdat` begins, where the last box ends."""
    position = 0
    while True:
        header = source.read(position, 16)
        if len(header) < 8:  # noqa: PLR2004 -- a length and a type
            return
        length, type_ = int.from_bytes(header[:4]), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:])
        elif length == 0:
            length = source.size - position
        if length < 8 or not type_.isascii():  # noqa: PLR2004 -- no box
            yield After(position, strict=False)
            return
        if type_ not in {b"moov", b"moof", b"meta", b"sidx"}:
            most = _BEGINNING if type_ == b"mdat" else MOST_OF_A_PART
            yield Data(source.read(position + 8, min(length - 8, most)))
        position += length
        if position >= source.size:
            return


def chunks(source: Source) -> Iterator[Part]:
    """Whatever isn't samples or pixels, then where the last RIFF ends (a large AVI has several)."""
    position = 0
    strict = source.read(8, 4) == b"WEBP"
    while (header := source.read(position, 12)).startswith(b"RIFF"):
        length = int.from_bytes(header[4:8], "little")
        end = position + 8 + length
        if not 0 < end <= source.size:
            return  # recorded into a pipe, which can't go back to say how long it was; or cut short
        yield from _inside(source, position + 12, end)
        position = end + (length & 1)
    yield After(min(position, source.size), strict=strict)


def _inside(source: Source, position: int, end: int) -> Iterator[Part]:
    while True:
        header = source.read(position, 8)
        if position + 8 > end or len(header) < 8:  # noqa: PLR2004 -- a type and a length
            return
        length = int.from_bytes(header[4:], "little")
        most = _BEGINNING if header[:4] in {b"data", b"VP8 ", b"VP8L", b"ANMF", b"LIST"} else MOST_OF_A_PART
        if header[:4] not in {b"idx1", b"ALPH"}:
            yield Data(source.read(position + 8, min(length, most)))
        position += 8 + length + (length & 1)
