"""Archives at a file's end: who opens zips begins there and doesn't care what stands before.

APPNOTE.TXT of PKWARE, 4.3.16. The record's signature and the eight bytes that must fit it are one in 2^78 of random
data. Readers take a record in the last 65,557 bytes, whatever follows it (Python's does), so this does, too: also a zip
that a PDF has attached without compressing it, which is both for whoever reads it as a zip.
"""

import struct

RECORD_BYTES = 22 + 0xFFFF
_END = struct.Struct("<4sHHHHIIH")
_SIGNATURE = b"PK\x05\x06"


def holds_end_of_zip(tail: bytes) -> bool:
    """Whether a zip that is not empty ends here."""
    at = tail.find(_SIGNATURE)
    while 0 <= at <= len(tail) - _END.size:
        _, disk, first, here, entries, length, _, _ = _END.unpack_from(tail, at)
        if disk == first and disk in {0, 0xFFFF} and here == entries > 0 and length >= entries:
            return True
        at = tail.find(_SIGNATURE, at + 1)
    return False
