from collections.abc import Callable
from typing import NamedTuple


class Source(NamedTuple):
    """A file, or as much of it as is at hand."""

    size: int
    read: Callable[[int, int], bytes]
    """The bytes at an offset: fewer where they end, none where they aren't at hand."""


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
