from collections.abc import Callable, Iterator
from typing import NamedTuple

_CHUNK = 1024 * 1024
_LAP = 16


class Source(NamedTuple):
    """A file, or as much of it as is at hand."""

    size: int
    get: Callable[[int, int], bytes]

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at an offset, whatever a file says that is: fewer or none where there are no more at hand."""
        return self.get(offset, length) if 0 <= offset < self.size and length > 0 else b""

    def chunks(self, offset: int) -> Iterator[bytes]:
        """All from an offset on, each a little more than what came before it: no word is cut."""
        while chunk := self.read(offset, _CHUNK):
            yield chunk
            offset += len(chunk) - _LAP if len(chunk) == _CHUNK else len(chunk)


class Text(NamedTuple):
    """What a clean file has words of people in: a remark, a title."""

    content: bytes


class Data(NamedTuple):
    """What a clean file has anything in, compressed or not, but no page and no program."""

    content: bytes


class After(NamedTuple):
    """Where a format's own end is."""

    offset: int
    strict: bool
    """Whether clean files end there, but for padding."""


Part = Text | Data | After
MOST_OF_A_PART = 64 * 1024
