"""Zips that say one thing at their end, where readers look, and another before each file, where a scanner may.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ABSENT = 0xFFFFFFFF
_DESCRIBED = 8


@dataclass(frozen=True)
class Lies:
    """How one of a zip's files is written.

    Attributes:
        local: Fields of the header before it that differ: `flags`, `method`, `checksum`, `packed`, `size`.
        central: Those of the directory; `start` as well. What is `ABSENT` stands in the 64-bit extra field.
        described: Whether its lengths stand behind it.
        signed: Whether what stands behind it begins with the usual four bytes.
        wide_end: Whether the directory is found by 64-bit records.
        before: Bytes before its header.
    """

    local: Mapping[str, int] = field(default_factory=dict[str, int])
    central: Mapping[str, int] = field(default_factory=dict[str, int])
    described: bool = False
    signed: bool = True
    wide_end: bool = False
    before: bytes = b""


def written(files: Mapping[str, bytes], name: str, lies: Lies) -> bytes:
    """A zip of these files, truly written but for one."""
    body = directory = b""
    for each, content in files.items():
        told = lies if each == name else Lies()
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(content) + packer.flush()
        flags = _DESCRIBED if told.described else 0
        truth = {"flags": flags, "method": 8, "checksum": zlib.crc32(content), "packed": len(packed)}
        truth["size"] = len(content)
        body += told.before
        start = len(body)
        body += _local(each.encode(), truth, {**truth, **told.local}) + packed
        if told.described:
            body += b"PK\7\x08" * told.signed + struct.pack("<3I", truth["checksum"], truth["packed"], truth["size"])
        directory += _central(each.encode(), truth, {**truth, "start": start, **told.central}, start)
    return body + directory + _end(len(files), len(directory), len(body), wide=lies.wide_end)


def all_lies() -> Iterator[Lies]:
    """Every way to leave lengths to the 64-bit fields, and false fields one at a time."""
    names = ("packed", "size")
    for here, there, start, described, wide in itertools.product(
        [(), *itertools.combinations(names, 1), names],
        [(), *itertools.combinations(names, 1), names],
        (False, True),
        (False, True),
        (False, True),
    ):
        if here or there or start or wide:
            absent = {**dict.fromkeys(there, ABSENT), **({"start": ABSENT} if start else {})}
            yield Lies(dict.fromkeys(here, ABSENT), absent, described=described, wide_end=wide)
    for described in (False, True):
        for local in (
            {"packed": 0},
            {"packed": 1},
            {"packed": 0x7FFFFFFF},
            {"packed": 0, "size": 0},
            {"packed": 0, "size": 0, "checksum": 0},
            {"size": 0},
            {"size": 1},
            {"checksum": 1},
            {"method": 0},
            {"method": 14},
            {"method": 99},
            {"flags": 0},
            {"flags": 1},
            {"flags": _DESCRIBED},
            {"flags": _DESCRIBED, "packed": 0, "size": 0},
            {"flags": 0x20},
            {"flags": 0x2000},
        ):
            yield Lies(local, described=described)
        for central in ({"flags": 0}, {"flags": _DESCRIBED}, {"flags": 0x20}, {"flags": 0x2000}):
            yield Lies(central=central, described=described)
    yield Lies(before=b"PK\3\4")
    yield Lies(before=written({"other": b"harmless"}, "", Lies()))


def _local(name: bytes, truth: Mapping[str, int], told: Mapping[str, int]) -> bytes:
    absent = ABSENT in (told["packed"], told["size"])
    extra = _wide(truth["size"], truth["packed"]) if absent else b""
    fields = (told["flags"], told["method"], 0, 33, told["checksum"], told["packed"], told["size"])
    return struct.pack("<4s5H3I2H", b"PK\3\4", 45 if absent else 20, *fields, len(name), len(extra)) + name + extra


def _central(name: bytes, truth: Mapping[str, int], told: Mapping[str, int], start: int) -> bytes:
    real = {**truth, "start": start}
    left_out = [real[each] for each in ("size", "packed", "start") if told[each] == ABSENT]
    extra = _wide(*left_out) if left_out else b""
    fields = (told["flags"], told["method"], 0, 33, told["checksum"], told["packed"], told["size"])
    head = struct.pack("<4s6H3I", b"PK\1\2", 45, 45 if left_out else 20, *fields)
    return head + struct.pack("<5H2I", len(name), len(extra), 0, 0, 0, 0, told["start"]) + name + extra


def _wide(*fields: int) -> bytes:
    return struct.pack("<2H", 1, 8 * len(fields)) + b"".join(struct.pack("<Q", each) for each in fields)


def _end(count: int, length: int, start: int, *, wide: bool) -> bytes:
    if not wide:
        return struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, length, start, 0)
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + length, 1)
    return record + locator + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, ABSENT, ABSENT, 0)
