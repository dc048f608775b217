"""XML of strangers, read as it streams by: no entity, no document, no depth is built from it."""

from collections.abc import Callable, Iterable
from typing import Any
from xml.parsers import expat

from .rejected import Rejected

DEEPEST = 256
Start = Callable[[str, dict[str, str]], None]


def read(chunks: Iterable[bytes], start: Start, text: Callable[[str], None] | None = None) -> None:
    """Call `start` with each element's local name and attributes, and `text` with character data.

    Attributes keep their names, and those of a namespace lose its prefix.

    Raises:
        Rejected: `corrupt`: not well-formed; `bomb`: it declares entities, or is nested too deep.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = 0

    def started(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise Rejected("bomb", "its XML is nested too deep")
        start(_local(name), {_local(key): value for key, value in attributes.items()})

    def ended(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def declared(*_: Any) -> None:
        raise Rejected("bomb", "its XML declares entities")

    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.EntityDeclHandler = declared
    if text:
        parser.CharacterDataHandler = text
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Rejected("corrupt", "its XML is damaged") from error


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
