"""Documents made by a real PDF library: good, long, locked and broken ones, for the demo, benchmarks and tests."""

import io
import random
from functools import cache
from typing import Final

from fpdf import FPDF
from fpdf.enums import AccessPermission, EncryptionMethod
from PIL import Image

_MARK: Final = b"tidegate-sample-################"
_COMMENT_BYTES: Final = 2  # the smallest comment that fills a gap: its sign and its line end


def pdf(pages: int = 1) -> bytes:
    """A good document."""
    return bytes(_document(pages).output())


def encrypted_pdf(password: str = "a password") -> bytes:  # noqa: S107  a sample's
    """A document that can't be read without its password."""
    document = _document(1)
    document.set_encryption(
        owner_password="owner",  # noqa: S106  a sample's
        user_password=password,
        encryption_method=EncryptionMethod.AES_256,
    )
    return bytes(document.output())


def restricted_pdf() -> bytes:
    """A document that everybody may read and nobody may print."""
    document = _document(1)
    document.set_encryption(owner_password="owner", permissions=AccessPermission.none())  # noqa: S106  a sample's
    return bytes(document.output())


def truncated_pdf(keep: float = 0.5) -> bytes:
    """A good document of which only the first part arrived."""
    whole = pdf(3)
    return whole[: int(len(whole) * keep)]


def unique_pdf(seed: int, size: int = 100_000) -> bytes:
    """A good document of one page with a picture, unlike every other seed's, in whole and in its picture.

    Thousands a second: scanners cache by hash, so that measuring needs bytes never seen before.

    Args:
        seed: From 0 to 2^64 - 1.
        size: Its length in bytes, from 6,000.
    """
    return _template(size).replace(_MARK, b"tidegate-sample-%016x" % seed)


def _document(pages: int) -> FPDF:
    document = FPDF()
    document.set_font("helvetica", size=12)
    for number in range(1, pages + 1):
        document.add_page()
        document.cell(text=f"Page {number}")
    return document


@cache
def _template(size: int) -> bytes:
    document = _document(1)
    document.image(io.BytesIO(_picture(size - 5000)), x=10, y=30, w=180)
    whole = bytes(document.output())
    assert _MARK in whole, "fpdf2 keeps a JPEG as it is"
    body, _, rest = whole.rpartition(b"xref\n0 ")
    table, _, _ = rest.partition(b"startxref")
    end = b"xref\n0 " + table + b"startxref\n%010d\n%%%%EOF\n"
    missing = size - len(body) - len(end % size)
    if missing < _COMMENT_BYTES:
        raise ValueError(f"no document of {size} bytes can be made")
    body += b"%" + b" " * (missing - _COMMENT_BYTES) + b"\n"
    return (end % len(body)).join((body, b""))


def _picture(size: int) -> bytes:
    """A JPEG of noise with the mark in its comment, of `size` bytes or somewhat less."""
    noise = random.Random(size)  # noqa: S311  the same picture each time
    smallest, side = b"", 16
    while True:
        picture = Image.frombytes("L", (side, side), noise.randbytes(side * side))
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=75, comment=_MARK)
        if written.tell() > size:
            return smallest or written.getvalue()
        smallest, side = written.getvalue(), side + 8
