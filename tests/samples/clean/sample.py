from typing import NamedTuple


class Sample(NamedTuple):
    """A file, and the content type that it has."""

    name: str
    content_type: str
    body: bytes
