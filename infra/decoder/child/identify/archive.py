"""Zip files that are documents: Office Open XML, OpenDocument and EPUB; every other one is an archive.

APPNOTE.TXT of PKWARE for zip, ECMA-376 part 2 for Office's packages, OpenDocument 1.3 part 2 and EPUB OCF for the entry
`mimetype`. It should be the first, and stored; who zips a book by hand does neither, and no reader minds. A reader of
zips begins at the end, one of documents at the beginning: both must find the same.
"""

import struct
import zlib
from typing import NamedTuple

from ..archive import require_bounded
from ..rejected import Rejected
from . import package
from .view import View

MAGIC = b"PK\x03\x04"
ZIP = "application/zip"

_ENTRY = struct.Struct("<4s2x2x2xH2x2x4xIIHHH2x2x4xI")  # of the central directory
_LOCAL = struct.Struct("<4s2xHH2x2x4xIIHH")
_END = struct.Struct("<4sHHHHIIH")
_TAIL_BYTES = 8192
_DIRECTORY_BYTES = 16 * 1024  # from either end of a larger one: who writes the types writes them first or last
_TYPES_BYTES = 8192
_LONGEST_TYPES = 1024 * 1024
_LONGEST_MIMETYPE = 128
_NAMES = 512
_PDF_BYTES = 1024  # where readers of PDF look for its header

_ELSEWHERE = 0xFFFFFFFF  # in a 64-bit field, which the probe reads

_MIMETYPE, _TYPES = b"mimetype", b"[Content_Types].xml"
_SIGNS_OF_A_DOCUMENT = (
    *(_MIMETYPE, b"META-INF/container.xml", b"META-INF/manifest.xml"),
    *(_TYPES, b"_rels/", b"docProps/", b"word/", b"xl/", b"ppt/"),
)
# What else a zip may be, by an entry that no document has.
_OTHERS = {
    b"META-INF/MANIFEST.MF": "application/java-archive",
    b"AndroidManifest.xml": "application/vnd.android.package-archive",
}
_MACROS = (b"vbaproject.bin", b"basic/script-lc.xml")


class _Entry(NamedTuple):
    name: bytes
    method: int
    packed: int
    size: int
    at: int


def judge(view: View) -> str:
    """Say which document it is, or what else.

    Raises:
        Rejected: `truncated`, `corrupt`, `bomb` by what it says itself (before ClamAV unpacks it: half a gigabyte of
            zeros costs it five seconds), or `polyglot`: two of them at once, or something behind its end.
    """
    if b"%PDF-" in view.head[:_PDF_BYTES]:
        raise Rejected("polyglot", "a PDF begins in an archive")
    first = _first_name(view)
    end = _end(view, document=first.startswith(_SIGNS_OF_A_DOCUMENT))
    if end is None:
        return ZIP
    entries = _entries(view, *end)
    claimed = sum(entry.size for entry in entries if entry.size != _ELSEWHERE)
    require_bounded(claimed, view.size, max_bytes=view.max_bytes, max_ratio=view.max_ratio)
    names = {entry.name for entry in entries}
    found = {kind for name, kind in _OTHERS.items() if name in names}
    for entry in entries:
        if entry.name == _MIMETYPE:
            found.add(_mimetype(view, entry))
        if entry.name == _TYPES:
            found.add(_package(view, entry))
    if len(found) > 1:
        raise Rejected("polyglot", f"one archive is {' and '.join(sorted(found))}")
    content_type = found.pop() if found else ZIP
    if any(name.lower().endswith(_MACROS) for name in names):
        return package.with_macros(content_type)
    return content_type


def _first_name(view: View) -> bytes:
    header = view.read(0, _LOCAL.size)
    return view.read(_LOCAL.size, _LOCAL.unpack(header)[-2])[:_NAMES] if len(header) == _LOCAL.size else b""


def _mimetype(view: View, entry: _Entry) -> str:
    said = _unpacked(view, entry, _LONGEST_MIMETYPE + 1) or b""
    return (len(said) <= _LONGEST_MIMETYPE and said.decode("latin-1").strip()) or ZIP


def _end(view: View, *, document: bool) -> tuple[int, int] | None:
    """Where the central directory begins and ends, by the record behind it, which must be the last of the file."""
    start = max(0, view.size - _TAIL_BYTES)
    tail = view.read(start, _TAIL_BYTES)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + _END.size:
        if document:
            raise Rejected("truncated", "the archive's directory, at its end, is missing")
        return None
    _, _, _, _, _, length, offset, comment = _END.unpack_from(tail, at)
    if not document and not length:
        return None
    if at + _END.size + comment != len(tail) or comment > _NAMES:
        raise Rejected("polyglot", "something stands behind the end of an archive")
    if offset + length != start + at:
        raise Rejected("corrupt", "the archive's directory is not where it says")
    return offset, start + at


def _entries(view: View, start: int, end: int) -> list[_Entry]:
    if end - start <= 2 * _DIRECTORY_BYTES:
        return _parsed(view.read(start, end - start))
    last = view.read(end - _DIRECTORY_BYTES, _DIRECTORY_BYTES)
    return _parsed(view.read(start, _DIRECTORY_BYTES)) + _parsed(last[max(0, last.find(b"PK\x01\x02")) :])


def _parsed(directory: bytes) -> list[_Entry]:
    entries: list[_Entry] = []
    at = 0
    while at + _ENTRY.size <= len(directory):
        signature, method, packed, size, name, extra, comment, offset = _ENTRY.unpack_from(directory, at)
        if signature != b"PK\x01\x02":
            break
        at += _ENTRY.size
        entries.append(_Entry(directory[at : at + name], method, packed, size, offset))
        at += name + extra + comment
    return entries


def _package(view: View, entry: _Entry) -> str:
    xml = _unpacked(view, entry, _LONGEST_TYPES)
    return ZIP if xml is None else package.judge(xml, whole=entry.packed <= _TYPES_BYTES)


def _unpacked(view: View, entry: _Entry, most: int) -> bytes | None:
    """How an entry begins; None: it isn't there."""
    header = view.read(entry.at, _LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(MAGIC):
        return None
    name, extra = _LOCAL.unpack(header)[-2:]  # Word leaves half a KiB of room in the latter
    packed = view.read(entry.at + _LOCAL.size + name + extra, min(entry.packed, _TYPES_BYTES))
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most) if entry.method else packed
    except zlib.error:
        return None
