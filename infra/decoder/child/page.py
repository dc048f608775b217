"""Render a page of a PDF, and read its text, with pdfium: without scripts, which its build here can't run."""

import ctypes
import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from .output import Output
from .pdf import loaded_page, opened, pdfium, sides
from .rejected import Rejected
from .saving import saved
from .words import plain

POINTS_PER_INCH = 72
WHITE = 0xFFFFFFFF
FORM_VERSION = 1  # fpdf_formfill.h: 2 is for XFA
MOST_PAGES_READ = 50  # a scanned book has no text on any of its pages
HYPHEN = "\x02"  # what pdfium says for one at a line's end: fpdf_text.h, FPDFText_GetUnicode


def render(file: int, args: dict[str, Any], _inline: bytes, output: Output) -> dict[str, Any]:
    """Render the first page on white, upright as it is shown.

    A page is drawn from shapes, so it has no pixels to enlarge: `dpi` bounds how much is made of a small one.

    Args:
        file: Descriptor of the document.
        args: `longest` side in pixels; `dpi`: dots an inch at most; `quality`; `codings`: `webp`, `jpeg`.
        output: Takes a file for each coding.

    Returns:
        `pages`, `width`, `height`, `files`.

    Raises:
        Rejected: `corrupt`, `encrypted`.
    """
    with opened(file) as document:
        with _form(document) as form:
            page = _loaded(document, 0)
            try:
                picture = _drawn(page, form, args["longest"], args["dpi"])
            finally:
                pdfium.FPDF_ClosePage(page)
        pages = pdfium.FPDF_GetPageCount(document)
    files = [output.write(saved(picture, coding, args["quality"])) for coding in args["codings"]]
    return {"pages": pages, "width": picture.width, "height": picture.height, "files": files}


def excerpt(file: int, args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Read how a document begins.

    Args:
        file: Descriptor of the document.
        args: `most`: characters.

    Returns:
        `text`: fit to be shown, and empty where there is none, as in a scanned document.

    Raises:
        Rejected: `corrupt`, `encrypted`.
    """
    text = ""
    with opened(file) as document:
        for index in range(min(pdfium.FPDF_GetPageCount(document), MOST_PAGES_READ)):
            page = loaded_page(document, index)
            if not page:
                continue
            try:
                text += " " + _read(page, 4 * args["most"])
            finally:
                pdfium.FPDF_ClosePage(page)
            if len(plain(text, args["most"])) == args["most"]:
                break
    return {"text": plain(text, args["most"])}


def _loaded(document: Any, index: int) -> Any:
    page = loaded_page(document, index)
    if not page:
        raise Rejected("corrupt", f"page {index + 1} cannot be parsed")
    return page


@contextmanager
def _form(document: Any) -> Generator[Any]:
    """What draws the fields of a form, and whatever is written in them; nobody fills it in, and no script runs."""
    told = pdfium.FPDF_FORMFILLINFO(version=FORM_VERSION)
    form = pdfium.FPDFDOC_InitFormFillEnvironment(document, told)
    if not form:
        raise MemoryError
    try:
        pdfium.FPDF_SetFormFieldHighlightAlpha(form, 0)
        yield form
    finally:
        pdfium.FPDFDOC_ExitFormFillEnvironment(form)


def _drawn(page: Any, form: Any, longest: int, dpi: int) -> Image.Image:
    points = sides(page)
    if not all(math.isfinite(side) and side > 0 for side in points):
        raise Rejected("corrupt", "page 1 has an impossible size")
    scale = min(longest / max(points), dpi / POINTS_PER_INCH)
    width, height = (max(1, min(longest, round(side * scale))) for side in points)
    bitmap = pdfium.FPDFBitmap_Create(width, height, 0)
    if not bitmap:
        raise MemoryError
    try:
        pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, WHITE)
        flags = pdfium.FPDF_ANNOT | pdfium.FPDF_RENDER_LIMITEDIMAGECACHE
        pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, flags)
        pdfium.FPDF_FFLDraw(form, bitmap, page, 0, 0, width, height, 0, flags)
        stride = pdfium.FPDFBitmap_GetStride(bitmap)
        pixels = ctypes.string_at(pdfium.FPDFBitmap_GetBuffer(bitmap), stride * height)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    return Image.frombytes("RGB", (width, height), pixels, "raw", "BGRX", stride, 1)


def _read(page: Any, most: int) -> str:
    text = pdfium.FPDFText_LoadPage(page)
    if not text:
        return ""
    try:
        count = min(pdfium.FPDFText_CountChars(text), most)
        if count < 1:
            return ""
        units = (ctypes.c_ushort * (count + 1))()
        written = pdfium.FPDFText_GetText(text, 0, count, units)
        words = ctypes.string_at(units, 2 * max(0, written - 1)).decode("utf-16-le", errors="replace")
    finally:
        pdfium.FPDFText_ClosePage(text)
    return words.replace(f"{HYPHEN}\r\n", "").replace(HYPHEN, "")
