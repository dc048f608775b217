"""A zip of which nothing is believed: read from its central directory, with a budget, each entry where it says it is.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Of its methods the two that office documents use.

Readers go by the directory at the end, clamd 1.4 by what stands before each file: where the two differ it looks at
other bytes than the reader, or at none, and says OK. With 64-bit fields (zip64) it looks at none either. So both must
say the same, one file right behind the other, in 32 bits.
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
_DESCRIBED = 0x8  # its lengths stand behind it
_HARMLESS = _DESCRIBED | 0x2 | 0x4 | 0x800  # beside that how well it is packed, and that its name is UTF-8
_DESCRIPTORS = (b"", b"PK\7\x08")  # both forms are in use
_UTF8 = 0x800
_STORED, _DEFLATED = 0, 8
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
        flags: The general purpose bits.
    """

    name: str
    method: int
    checksum: int
    packed: int
    size: int
    start: int
    flags: int


class Archive:
    """The entries of a zip that keeps to its budget."""

    def __init__(self, file: int | bytes, *, max_entries: int, max_bytes: int, max_ratio: float) -> None:
        """Read the central directory of a file, by its descriptor, or of what is in memory already.

        Raises:
            Rejected: `truncated`, `corrupt`, `encrypted` or `bomb`.
        """
        self._file = file
        size = len(file) if isinstance(file, bytes) else os.fstat(file).st_size
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
            packed = self._read(min(CHUNK_BYTES, end - position), position)
            position += len(packed)
            for chunk in _unpacked(unpacker, packed) if unpacker else [packed]:
                size += len(chunk)
                if size > entry.size:
                    raise Rejected("bomb", "a file inside unpacks to more than it claims")
                checksum = zlib.crc32(chunk, checksum)
                yield chunk
        if size != entry.size or checksum != entry.checksum or (unpacker and not unpacker.eof):
            raise Rejected("corrupt", "a file inside is damaged")

    def _read(self, length: int, start: int) -> bytes:
        if isinstance(self._file, bytes):
            return self._file[start : start + length]
        return os.pread(self._file, length, start)

    def _find_directory(self, size: int) -> tuple[int, bytes, int]:
        tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
        tail = self._read(size - tail_start, tail_start)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise Rejected("truncated", "the end of the file is missing")
        _, disk, start_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            raise Rejected("corrupt", "something follows its end")
        if disk or start_disk or here != count or start + length != tail_start + at or length > MOST_DIRECTORY_BYTES:
            raise Rejected("corrupt", "its table of contents is not where it should be")
        return count, self._read(length, start), start

    def _require_apart(self) -> None:
        """Every entry is where it says, under its own name, and none lies on another: that is how bombs get small."""
        ends = {0}
        for entry in sorted(self.entries.values(), key=lambda entry: entry.start):
            _require_behind(ends, entry.start)
            header = self._read(_LOCAL.size, entry.start)
            if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
                raise Rejected("corrupt", "a file inside is not where it should be")
            _, _, flags, method, _, _, checksum, packed, size, name_length, extra_length = _LOCAL.unpack(header)
            _require_same(entry, flags, method, (checksum, packed, size))
            name = self._read(name_length, entry.start + _LOCAL.size)
            if _name(name, utf8=True) != entry.name and _name(name, utf8=False) != entry.name:
                raise Rejected("corrupt", "a file inside has two names")
            data = entry.start + _LOCAL.size + name_length + extra_length
            self._data_starts[entry.name] = data
            ends = self._ends(entry, data + entry.packed)
        _require_behind(ends, self._directory_start)

    def _ends(self, entry: Entry, end: int) -> set[int]:
        """Where an entry can end whose bytes do here: behind its descriptor, if it has one."""
        if not entry.flags & _DESCRIBED:
            return {end}
        lengths = struct.pack("<3I", entry.checksum, entry.packed, entry.size)
        described = (magic + lengths for magic in _DESCRIPTORS)
        return {end + len(each) for each in described if self._read(len(each), end) == each}


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
        position += name_length + extra_length + comment_length
        if flags & _ENCRYPTED:
            raise Rejected("encrypted", "files inside are encrypted")
        if method not in {_STORED, _DEFLATED}:
            raise Rejected("corrupt", "a file inside is packed in an unusual way")
        if _ABSENT in {size, packed, start}:
            raise Rejected("unscannable", "its lengths are in 64 bits (zip64)")
        if method == _STORED and size != packed:
            raise Rejected("corrupt", "a file inside has two lengths")
        yield Entry(name, method, checksum, packed, size, start, flags)
    if position != len(directory):
        raise Rejected("corrupt", "its table of contents counts wrong")


def _require_behind(ends: set[int], start: int) -> None:
    """What comes next begins where the last one ended: nothing overlaps, and nothing hides in between."""
    if start not in ends:
        if ends and start < min(ends):
            raise Rejected("bomb", "files inside overlap")
        raise Rejected("unscannable", "something stands between the files inside")


def _require_same(entry: Entry, flags: int, method: int, lengths: tuple[int, int, int]) -> None:
    """What stands before a file says what the directory does; its lengths, if they stand behind it, may be missing."""
    if (flags | entry.flags) & ~_HARMLESS or (flags ^ entry.flags) & _DESCRIBED or method != entry.method:
        raise Rejected("unscannable", "it says two things of a file inside")
    described = flags & _DESCRIBED and lengths[1:] == (0, 0)
    if not described and lengths != (entry.checksum, entry.packed, entry.size):
        raise Rejected("unscannable", "it says two lengths of a file inside")


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
