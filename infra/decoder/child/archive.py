"""A zip of which nothing is believed: read from its central directory, with a budget, each entry where it says it is.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Of its methods the two that office documents use,
of its 64-bit fields those in the entries (some writers set them always); a document that needs more is none.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .rejected import Rejected

CHUNK_BYTES = 256 * 1024
HARMLESS_BYTES = 32 * 1024 * 1024  # up to here the ratio doesn't matter: white space packs a thousand to one
MOST_DIRECTORY_BYTES = 16 * 1024 * 1024
_END = struct.Struct("<4s4H2IH")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_LONGEST_COMMENT = 65_535
_ENCRYPTED = 0x1 | 0x40
_UTF8 = 0x800
_STORED, _DEFLATED = 0, 8
_ZIP64 = 0x0001
_ABSENT = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in the zip, as the central directory has it.

    Attributes:
        name: Its path.
        method: Stored or deflated.
        checksum: CRC-32 of what it unpacks to.
        packed: Its bytes in the zip.
        size: Its bytes unpacked, as it claims.
        start: Where its local header is.
    """

    name: str
    method: int
    checksum: int
    packed: int
    size: int
    start: int


class Archive:
    """The entries of a zip that keeps to its budget."""

    def __init__(self, file: int, *, max_entries: int, max_bytes: int, max_ratio: float) -> None:
        """Read the central directory.

        Raises:
            Rejected: `truncated`, `corrupt`, `encrypted` or `bomb`.
        """
        self._file = file
        size = os.fstat(file).st_size
        count, directory, self._directory_start = self._find_directory(size)
        if count > max_entries:
            raise Rejected("bomb", f"{count:,} files inside; at most {max_entries:,} are accepted")
        self.entries: dict[str, Entry] = {}
        self._data_starts: dict[str, int] = {}
        seen: set[str] = set()
        for entry in _entries(directory, count):
            _require_good_name(entry.name)
            if entry.name.casefold() in seen:
                raise Rejected("corrupt", "two files inside have one name")
            seen.add(entry.name.casefold())
            self.entries[entry.name] = entry
        self.unpacked = sum(entry.size for entry in self.entries.values())
        require_bounded(self.unpacked, size, max_bytes=max_bytes, max_ratio=max_ratio)
        self._require_apart()

    def chunks(self, name: str) -> Iterator[bytes]:
        """Unpack an entry, chunk by chunk; it has exactly the length and the checksum that it claims.

        Raises:
            Rejected: `corrupt`, or `bomb`: it unpacks to more than it claims.
        """
        entry = self.entries[name]
        unpacker = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
        position, end = self._data_starts[name], self._data_starts[name] + entry.packed
        size = checksum = 0
        while position < end:
            packed = os.pread(self._file, min(CHUNK_BYTES, end - position), position)
            position += len(packed)
            for chunk in _unpacked(unpacker, packed) if unpacker else [packed]:
                size += len(chunk)
                if size > entry.size:
                    raise Rejected("bomb", "a file inside unpacks to more than it claims")
                checksum = zlib.crc32(chunk, checksum)
                yield chunk
        if size != entry.size or checksum != entry.checksum or (unpacker and not unpacker.eof):
            raise Rejected("corrupt", "a file inside is damaged")

    def _find_directory(self, size: int) -> tuple[int, bytes, int]:
        tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
        tail = os.pread(self._file, size - tail_start, tail_start)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise Rejected("truncated", "the end of the file is missing")
        _, disk, start_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            raise Rejected("corrupt", "something follows its end")
        if disk or start_disk or here != count or start + length != tail_start + at or length > MOST_DIRECTORY_BYTES:
            raise Rejected("corrupt", "its table of contents is not where it should be")
        return count, os.pread(self._file, length, start), start

    def _require_apart(self) -> None:
        """Every entry is where it says, under its own name, and none lies on another: that is how bombs get small."""
        end = 0
        for entry in sorted(self.entries.values(), key=lambda entry: entry.start):
            if entry.start < end:
                raise Rejected("bomb", "files inside overlap")
            if end == 0 and entry.start:
                raise Rejected("corrupt", "something stands before its beginning")
            header = os.pread(self._file, _LOCAL.size, entry.start)
            if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
                raise Rejected("corrupt", "a file inside is not where it should be")
            *_, name_length, extra_length = _LOCAL.unpack(header)
            name = os.pread(self._file, name_length, entry.start + _LOCAL.size)
            if _name(name, utf8=True) != entry.name and _name(name, utf8=False) != entry.name:
                raise Rejected("corrupt", "a file inside has two names")
            data = entry.start + _LOCAL.size + name_length + extra_length
            self._data_starts[entry.name] = data
            end = data + entry.packed
        if end > self._directory_start:
            raise Rejected("bomb", "files inside overlap")


def require_bounded(unpacked: int, size: int, *, max_bytes: int, max_ratio: float) -> None:
    """Refuse a zip of `size` bytes that says it unpacks to too much.

    Raises:
        Rejected: `bomb`.
    """
    if unpacked > max_bytes:
        raise Rejected("bomb", f"it unpacks to {unpacked:,} bytes; at most {max_bytes:,} are accepted")
    if unpacked > HARMLESS_BYTES and unpacked > size * max_ratio:
        raise Rejected("bomb", f"it unpacks to more than {max_ratio:g} times its size")


def _entries(directory: bytes, count: int) -> Iterator[Entry]:
    position = 0
    for _ in range(count):
        if len(directory) - position < _CENTRAL.size or directory[position : position + 4] != b"PK\1\2":
            raise Rejected("corrupt", "its table of contents is damaged")
        fields = _CENTRAL.unpack_from(directory, position)
        _, _, _, flags, method, _, _, checksum, packed, size, name_length, extra_length, comment_length, *_, start = (
            fields
        )
        position += _CENTRAL.size
        name = _name(directory[position : position + name_length], utf8=bool(flags & _UTF8))
        extra = directory[position + name_length : position + name_length + extra_length]
        position += name_length + extra_length + comment_length
        if flags & _ENCRYPTED:
            raise Rejected("encrypted", "files inside are encrypted")
        if method not in {_STORED, _DEFLATED}:
            raise Rejected("corrupt", "a file inside is packed in an unusual way")
        size, packed, start = _wide(extra, size, packed, start)
        if method == _STORED and size != packed:
            raise Rejected("corrupt", "a file inside has two lengths")
        yield Entry(name, method, checksum, packed, size, start)
    if position != len(directory):
        raise Rejected("corrupt", "its table of contents counts wrong")


def _wide(extra: bytes, *fields: int) -> tuple[int, ...]:
    """The fields, those that are absent read from the entry's 64-bit extra field."""
    wide = b""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == _ZIP64:
            wide = extra[position + 4 : position + 4 + length]
        position += 4 + length
    found: list[int] = []
    for value in fields:
        if value == _ABSENT:
            if len(wide) < 8:  # noqa: PLR2004 -- 64 bits
                raise Rejected("corrupt", "a length is missing in its table of contents")
            found.append(int.from_bytes(wide[:8], "little"))
            wide = wide[8:]
        else:
            found.append(value)
    return tuple(found)


def _name(raw: bytes, *, utf8: bool) -> str:
    return raw.decode("utf-8" if utf8 else "cp437", errors="replace")


def _require_good_name(name: str) -> None:
    parts = name.rstrip("/").split("/")
    if not name or "\\" in name or "\0" in name or ":" in parts[0] or {"", ".", ".."} & set(parts):
        raise Rejected("corrupt", "a file inside has a name that leads elsewhere")


def _unpacked(unpacker: Any, packed: bytes) -> Iterator[bytes]:
    try:
        while packed and not unpacker.eof:
            yield unpacker.decompress(packed, CHUNK_BYTES)
            packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise Rejected("corrupt", "a file inside is damaged") from error
    if unpacker.unused_data:
        raise Rejected("corrupt", "a file inside is longer than it should be")
