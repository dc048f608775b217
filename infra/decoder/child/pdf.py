"""Open a PDF with pdfium and say what it is. Repaired is not good enough: what is accepted must be whole."""

import ctypes
import math
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pypdfium2_raw  # pyright: ignore[reportMissingTypeStubs] -- there are none

from .rejected import Rejected

TAIL_BYTES = 2048
HEAD_BYTES = 1024
LARGEST_SIDE = 14_400 * 75_000  # points: ISO 32000-1 annex C's page limit times the largest user unit

_GetBlock = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_ulong
)

pdfium: Any = pypdfium2_raw  # generated bindings, without types
pdfium.FPDF_InitLibrary()


def probe(file: int, args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Count pages and measure the first; the first and the last page must parse.

    Args:
        file: Descriptor of the document.
        args: `max_pages`: the most pages a document may have.

    Returns:
        `pages`, `encrypted` (restrictions without a password), `version` ("1.7") or None, `width_points`,
        `height_points`.

    Raises:
        Rejected: `truncated`, `corrupt`, `encrypted` (needs a password) or `too_many_pages`.
    """
    _require_whole(file, os.fstat(file).st_size)
    with opened(file) as document:
        return _describe(document, args["max_pages"])


@contextmanager
def opened(file: int) -> Generator[Any]:
    """Open a document; only what is looked at is read.

    Raises:
        Rejected: `corrupt`, or `encrypted`: it needs a password.
    """
    size = os.fstat(file).st_size

    @_GetBlock
    def get_block(_: object, position: int, buffer: Any, length: int) -> int:
        block = os.pread(file, length, position)
        ctypes.memmove(buffer, block, len(block))
        return len(block) == length

    access = pdfium.FPDF_FILEACCESS(m_FileLen=size, m_GetBlock=get_block)
    document = pdfium.FPDF_LoadCustomDocument(access, None)
    if not document:
        raise _load_error()
    try:
        yield document
    finally:
        pdfium.FPDF_CloseDocument(document)


def loaded_page(document: Any, index: int) -> Any:
    """A page, to be closed by the caller; nothing where it can't be parsed.

    A crop box that shares nothing with the media box counts as none, as in pdf.js and MuPDF: for pdfium the page would
    have no size.
    """
    page = pdfium.FPDF_LoadPage(document, index)
    if page and not all(sides(page)):
        pdfium.FPDFPage_SetCropBox(page, 0, 0, 0, 0)  # an empty one is none for pdfium, too
    return page


def sides(page: Any) -> tuple[float, float]:
    """How wide and how high a page is, in points."""
    return pdfium.FPDF_GetPageWidthF(page), pdfium.FPDF_GetPageHeightF(page)


def _describe(document: Any, max_pages: int) -> dict[str, Any]:
    pages = pdfium.FPDF_GetPageCount(document)
    if pages < 1:
        raise Rejected("corrupt", "the document has no pages")
    if pages > max_pages:
        raise Rejected("too_many_pages", f"{pages} pages; at most {max_pages} are accepted")
    width, height = _measure(document, 0)
    if pages > 1:
        _measure(document, pages - 1)
    version = ctypes.c_int()
    known = pdfium.FPDF_GetFileVersion(document, version)
    return {
        "pages": pages,
        "encrypted": pdfium.FPDF_GetSecurityHandlerRevision(document) != -1,
        "version": f"{version.value // 10}.{version.value % 10}" if known and 10 <= version.value <= 99 else None,  # noqa: PLR2004 -- two digits
        "width_points": width,
        "height_points": height,
    }


def _measure(document: Any, index: int) -> tuple[float, float]:
    page = loaded_page(document, index)
    if not page:
        raise Rejected("corrupt", f"page {index + 1} cannot be parsed")
    try:
        size = sides(page)
    finally:
        pdfium.FPDF_ClosePage(page)
    if not all(math.isfinite(side) and 0 < side <= LARGEST_SIDE for side in size):
        raise Rejected("corrupt", f"page {index + 1} has an impossible size")
    return size


def _load_error() -> Rejected:
    error = pdfium.FPDF_GetLastError()
    if error == pdfium.FPDF_ERR_PASSWORD:
        return Rejected("encrypted", "the document needs a password")
    if error == pdfium.FPDF_ERR_SECURITY:
        return Rejected("encrypted", "the document uses an unknown encryption")
    return Rejected("corrupt", "the document cannot be parsed")


def _require_whole(file: int, size: int) -> None:
    """Refuse what pdfium would repair silently: it rebuilds a lost cross-reference table from what is left."""
    tail = os.pread(file, TAIL_BYTES, max(0, size - TAIL_BYTES))
    found = re.findall(rb"startxref\s+(\d{1,19})\s+%%EOF", tail)
    if not found:
        raise Rejected("truncated", "the end of the document is missing (no startxref and %%EOF)")
    # A linearized document has an %%EOF near its beginning as well, and states its own length.
    linearized = re.search(rb"/Linearized\b[^>]*/L\s+(\d{1,19})", os.pread(file, HEAD_BYTES, 0))
    if int(found[-1]) >= size or (linearized and int(linearized[1]) > size):
        raise Rejected("truncated", "the document is shorter than it says")
    table = os.pread(file, 64, int(found[-1]))
    if not re.match(rb"\s*(xref\b|\d+\s+\d+\s+obj\b)", table):
        raise Rejected("corrupt", "the cross-reference table is not where the document says")
