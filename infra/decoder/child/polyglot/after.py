"""What stands behind a format's own end."""

import re

from ..rejected import Rejected
from . import words
from .source import MOST_OF_A_PART, Source

_PADDING = b"\0\xff \t\r\n\x1a"
# Some encoders leave a few bytes of their buffer: too few for a file, and no text.
_SCRAP = 32
_NOT_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f]")
_LONGEST_PADDING = 64 * 1024
# How something else begins that nothing but itself has a reason to begin like. A movie is none of them: phones put the
# seconds around a photo behind it, and a player that was given the photo would not find them.
_BEGINNINGS = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"MZ\x90": "a program",
    b"\x7fELF": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"\xcf\xfa\xed\xfe": "a program",
    b"#!/": "a script",
    b"%PDF-": "a PDF",
    b"\x89PNG": "a picture",
    b"GIF8": "a picture",
    b"OggS": "a sound",
    b"\x1a\x45\xdf\xa3": "a video",
    b"\xd0\xcf\x11\xe0": "an office document",
}


def judge(source: Source, offset: int, *, strict: bool) -> None:
    """Refuse what isn't padding (strictly), or what is recognised, or is a page or a program.

    Raises:
        Rejected: `polyglot`.
    """
    first = source.read(offset, _LONGEST_PADDING)
    rest = first.lstrip(_PADDING)
    if not rest:
        return
    for beginning, name in _BEGINNINGS.items():
        if rest.startswith(beginning):
            raise Rejected("polyglot", f"{name} stands behind its end")
    if strict and not (len(rest) <= _SCRAP and _NOT_TEXT.search(rest)):
        raise Rejected("polyglot", f"{source.size - offset} bytes of something else stand behind its end")
    if words.PAGE_OR_PROGRAM.search(first[:MOST_OF_A_PART]):
        raise Rejected("polyglot", "a page or a program stands behind its end")
    if any(archive in chunk for chunk in source.chunks(offset) for archive in words.ARCHIVES):
        raise Rejected("polyglot", "an archive stands behind its end")
