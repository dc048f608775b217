"""Whether a file is two things at once: what it was identified as, and something that another program would open.

No list of such files is complete; these are the rules that the usual ones break and that cameras, browsers and office
programs keep. What each of them looks at is a place, not a byte pattern anywhere, but for the words that chance doesn't
make (see `words`).
"""

import re
from collections.abc import Callable, Iterator

from ..rejected import Rejected
from . import after, containers, gif, jpeg, pdf, png, words
from .archives import RECORD_BYTES, holds_end_of_zip
from .source import After, Data, Part, Source, Text

HEAD_BYTES = 1024  # where readers of PDF still look for its header, and browsers for markup

_PARTS: dict[str, Callable[[Source], Iterator[Part]]] = {
    "application/pdf": pdf.parts,
    "image/jpeg": jpeg.parts,
    "image/png": png.parts,
    "image/gif": gif.parts,
    "image/webp": containers.chunks,
    "audio/wav": containers.chunks,
    "video/x-msvideo": containers.chunks,
    "image/heic": containers.boxes,
    "image/avif": containers.boxes,
    "audio/mp4": containers.boxes,
    "video/mp4": containers.boxes,
    "video/quicktime": containers.boxes,
    "video/3gpp": containers.boxes,
}
# Where the first number of a header stands, right behind its letters.
_FIRST_NUMBER = {"image/gif": 6, "image/bmp": 2, "image/webp": 4, "audio/wav": 4, "video/x-msvideo": 4}
# Formats of other files that need nothing at their beginning: where they have their letters.
_ELSEWHERE = {257: (b"ustar", "a tar archive"), 128: (b"DICM", "a DICOM file")}
# `ÿØÿà/*` is a name and the beginning of a remark; with this a program goes on.
_SCRIPT_GOES_ON = re.compile(rb"\*/\s*[=;,.(\[+`]")
# Some cameras leave numbers in their remarks, in which chance makes `<%`.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f](?!\0*\Z)")


def inspect(content_type: str, source: Source) -> None:
    """Look where something else would have to be.

    Args:
        content_type: What the file was identified as; not a zip, whose own reader looks at its ends.
        source: As much of the file as is at hand.

    Raises:
        Rejected: `polyglot`.
    """
    head = source.read(0, HEAD_BYTES)
    _require_no_script(content_type, head)
    for offset, (letters, name) in _ELSEWHERE.items():
        if head[offset:].startswith(letters):
            raise Rejected("polyglot", f"{name} begins with it")
    if content_type != "application/pdf":
        _require_no_page(head, "at its beginning")
    script = content_type == "image/jpeg" and head[4:6] == b"/*"  # so long is one clean photo's first segment in 2^16
    for part in _PARTS.get(content_type, _no_parts)(source):
        match part:
            case Text(content) | Data(content):
                if script and _SCRIPT_GOES_ON.search(content):
                    raise Rejected("polyglot", "it begins as a script does")
                if isinstance(part, Text) and not _BINARY.search(content) and words.IN_TEXT.search(content):
                    raise Rejected("polyglot", "a page or a program is in its remarks")
                _require_no_page(content, "in what it says about itself")
            case After(offset, strict):
                after.judge(source, offset, strict=strict)
    if content_type.startswith("image/"):
        _require_nothing_hidden(source)


def inspect_tail(content_type: str, tail: bytes) -> None:
    """Look at a file's last bytes, up to `RECORD_BYTES`.

    Raises:
        Rejected: `polyglot`.
    """
    if holds_end_of_zip(tail[-RECORD_BYTES:]):
        raise Rejected("polyglot", "a zip archive ends where it does")
    if content_type != "application/pdf":
        _require_no_page(tail[-HEAD_BYTES:], "at its end")


def _no_parts(_: Source) -> Iterator[Part]:
    return iter(())


def _require_no_script(content_type: str, head: bytes) -> None:
    at = _FIRST_NUMBER.get(content_type)
    if at is not None and words.opens_as_script(head[at : at + 4]):
        raise Rejected("polyglot", "it begins as a script does")


def _require_no_page(content: bytes, where: str) -> None:
    if found := words.PAGE_OR_PROGRAM.search(content):
        name = "a PDF" if found[0].startswith(b"%") else "a page or a program"
        raise Rejected("polyglot", f"{name} is {where}")


def _require_nothing_hidden(source: Source) -> None:
    for chunk in source.chunks(0):
        if any(program.search(chunk) for program in words.PROGRAMS):
            raise Rejected("polyglot", "a program is in it")
        if any(archive in chunk for archive in words.ARCHIVES):
            raise Rejected("polyglot", "an archive is in it")
