"""Read a text file to its end and say whether it is text."""

import codecs
import os
import re
from typing import Any

from .rejected import Rejected
from .words import plain

CHUNK_BYTES = 256 * 1024
# Everything in Unicode's category Cc, but tab, line feed, form feed, carriage return and next line.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def probe(file: int, _args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Decode the whole file as UTF-8, or as UTF-16 where a byte order mark says so, in constant memory.

    Returns:
        `encoding` and `lines`, an unfinished last one included.

    Raises:
        Rejected: `not_text`: undecodable bytes or control characters.
    """
    encoding = _MARKS.get(os.pread(file, 2, 0), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)()
    position = lines = 0
    last = "\n"
    while True:
        chunk = os.pread(file, CHUNK_BYTES, position)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise Rejected("not_text", f"bytes near offset {position} are not {encoding}: {error.reason}") from error
        if found := _CONTROL.search(text):
            raise Rejected("not_text", f"control character U+{ord(found[0]):04X} near offset {position}")
        if not chunk:
            return {"encoding": encoding, "lines": lines + (last != "\n")}
        lines += text.count("\n")
        last = text[-1:] or last
        position += len(chunk)


def excerpt(file: int, args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Read how a text begins: of white space without end only the first bytes are looked at.

    Args:
        file: Descriptor of the text.
        args: `most`: characters.

    Returns:
        `text`: fit to be shown.
    """
    encoding = _MARKS.get(os.pread(file, 2, 0), "utf-8")
    begun = codecs.getincrementaldecoder(encoding)(errors="replace").decode(os.pread(file, CHUNK_BYTES, 0))
    return {"text": plain(begun, args["most"])}
