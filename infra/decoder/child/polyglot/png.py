"""PNG: its chunks. https://www.w3.org/TR/png-3/#5Chunk-layout."""

from collections.abc import Iterator

from .source import MOST_OF_A_PART, After, Data, Part, Source, Text

_PIXELS = {b"IDAT", b"fdAT", b"IHDR", b"PLTE", b"tRNS"}


def parts(source: Source) -> Iterator[Part]:
    """Texts and whatever else isn't pixels, then where it ends."""
    position = 8
    while True:
        header = source.read(position, 8)
        if len(header) < 8:  # noqa: PLR2004 -- a length and a type
            return
        length, type_ = int.from_bytes(header[:4]), header[4:]
        if type_ not in _PIXELS:
            content = source.read(position + 8, min(length, MOST_OF_A_PART))
            if type_ == b"tEXt" or (type_ == b"iTXt" and _plain(content)):
                yield Text(content.replace(b"\0", b"\n"))  # what is between a text and its name
            else:
                yield Data(content)
        position += 12 + length
        if type_ == b"IEND":
            yield After(position, strict=True)
            return


def _plain(content: bytes) -> bool:
    """Whether an international text isn't compressed."""
    _, _, after_keyword = content.partition(b"\0")
    return after_keyword.startswith(b"\0")
