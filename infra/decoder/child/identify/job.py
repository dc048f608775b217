import os
from typing import Any

from ..polyglot import RECORD_BYTES, Source, inspect, inspect_tail
from .decide import BY_STRUCTURE, HEAD_BYTES, decide
from .view import Need, TooScattered, View

TAIL_BYTES = 4096


def identify(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Say what a file is, by the pieces of it that are known, or which one is wanted as well.

    Args:
        file: Descriptor of the whole file, which is then looked through from one end to the other; or -1.
        args: `size` of the file; `pieces`: offset and length of each that is inline, the head first; `max_bytes` and
            `max_ratio` of a zip.
        inline: The pieces, one after another.

    Returns:
        `content_type`, or `need`: offset and length of what must be read before anything can be said.

    Raises:
        Rejected: `polyglot`, `bomb`, or `truncated` or `corrupt` where a format can't be told otherwise.
    """
    view, source = _opened(file, args) if file >= 0 else _received(args, inline)
    while True:
        try:
            return {"content_type": _identified(view, source, near=file >= 0 or view.whole)}
        except Need as need:
            if file < 0:
                return {"need": [need.offset, need.length]}
            view.add(need.offset, os.pread(file, need.length, need.offset))


def _opened(file: int, args: dict[str, Any]) -> tuple[View, Source]:
    def read(offset: int, length: int) -> bytes:
        return os.pread(file, length, offset)

    size = os.fstat(file).st_size
    return _view(size, [(0, read(0, HEAD_BYTES))], args), Source(size, read)


def _view(size: int, pieces: list[tuple[int, bytes]], args: dict[str, Any]) -> View:
    return View(size, pieces, max_bytes=args["max_bytes"], max_ratio=args["max_ratio"])


def _received(args: dict[str, Any], inline: bytes) -> tuple[View, Source]:
    size = args["size"]
    pieces: list[tuple[int, bytes]] = []
    for offset, length in args["pieces"]:
        pieces.append((offset, inline[:length]))
        inline = inline[length:]
    view = _view(size, pieces, args)

    def read(offset: int, length: int) -> bytes:
        return view.head[offset : offset + length]

    return view, Source(size, read)


def _identified(view: View, source: Source, *, near: bool) -> str:
    content_type = decide(view)
    if content_type not in BY_STRUCTURE:
        return content_type
    # A PDF's end is looked at where the file is at hand: one ranged get is all it may cost before it is scanned.
    tail = _tail(view, source, near=near) if near or content_type != "application/pdf" else b""
    inspect(content_type, source)
    inspect_tail(content_type, tail)
    return content_type


def _tail(view: View, source: Source, *, near: bool) -> bytes:
    if near:
        return source.read(max(0, view.size - RECORD_BYTES), RECORD_BYTES)
    try:
        return view.read(max(0, view.size - TAIL_BYTES), TAIL_BYTES)
    except TooScattered:  # a movie of many tracks: enough was read of it for now
        return b""
