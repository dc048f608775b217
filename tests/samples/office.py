"""Office documents and EPUBs: good ones written by real libraries, and zips put together by hand to hurt."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import docx
import openpyxl
from odf import draw, opendocument, style, table, text  # pyright: ignore[reportMissingTypeStubs] -- there are none
from pptx import Presentation

# Libraries without types: what they make is what the tests judge.
_OPEN_DOCUMENT: Any = opendocument
_STYLE: Any = style
_TABLE: Any = table
_TEXT: Any = text
_DRAW: Any = draw

NAMES = ("plain.docx", "plain.xlsx", "plain.pptx", "plain.odt", "plain.ods", "plain.odp", "plain.epub")
SENTENCE = "Files arrive from strangers. "


@cache
def office(name: str) -> bytes:
    """A good document by its name."""
    out = io.BytesIO()
    _WRITERS[name.rpartition(".")[2]](out)
    return out.getvalue()


def _docx(out: io.BytesIO) -> None:
    document = docx.Document()
    document.add_heading("Tidegate")
    document.add_paragraph(SENTENCE * 20)
    document.save(out)


def _xlsx(out: io.BytesIO) -> None:
    book: Any = openpyxl.Workbook()
    for row in range(20):
        book.active.append([row, SENTENCE])
    book.create_sheet("Second")
    book.save(out)


def _pptx(out: io.BytesIO) -> None:
    show: Any = Presentation()
    for _ in range(3):
        show.slides.add_slide(show.slide_layouts[0]).shapes.title.text = SENTENCE
    show.save(out)


def _odt(out: io.BytesIO) -> None:
    document = _OPEN_DOCUMENT.OpenDocumentText()
    document.text.addElement(_TEXT.P(text=SENTENCE * 20))
    document.write(out)


def _ods(out: io.BytesIO) -> None:
    document = _OPEN_DOCUMENT.OpenDocumentSpreadsheet()
    for name in ("First", "Second"):
        document.spreadsheet.addElement(_TABLE.Table(name=name))
    document.write(out)


def _odp(out: io.BytesIO) -> None:
    document = _OPEN_DOCUMENT.OpenDocumentPresentation()
    layout = _STYLE.PageLayout(name="Layout")
    document.automaticstyles.addElement(layout)
    master = _STYLE.MasterPage(name="Master", pagelayoutname=layout)
    document.masterstyles.addElement(master)
    for number in range(3):
        document.presentation.addElement(_DRAW.Page(name=f"Slide {number}", masterpagename=master))
    document.write(out)


def _epub(out: io.BytesIO) -> None:
    out.write(zipped(epub_parts()))


_WRITERS = {"docx": _docx, "xlsx": _xlsx, "pptx": _pptx, "odt": _odt, "ods": _ods, "odp": _odp, "epub": _epub}


def epub_parts() -> dict[str, bytes]:
    """The files of an EPUB of two chapters, as the specification's own example has them."""
    chapter = b'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>1</title></head><body>' + SENTENCE.encode() * 20
    return {
        "mimetype": b"application/epub+zip",
        "META-INF/container.xml": b'<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
        b'<rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>'
        b"</container>",
        "EPUB/package.opf": b'<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>'
        b'<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>'
        b'<item id="two" href="two.xhtml" media-type="application/xhtml+xml"/>'
        b'</manifest><spine><itemref idref="one"/><itemref idref="two"/></spine></package>',
        "EPUB/one.xhtml": chapter + b"</body></html>",
        "EPUB/two.xhtml": chapter + b"</body></html>",
    }


def zipped(parts: Mapping[str, bytes]) -> bytes:
    """A zip of these files; `mimetype` is stored, as it has to be."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else None)
    return out.getvalue()


def parts(document: bytes) -> dict[str, bytes]:
    """The files in a zip."""
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_parts(document: bytes, changed: Mapping[str, bytes]) -> bytes:
    """The same document with other or more files in it."""
    return zipped({**parts(document), **changed})


def overlapping(count: int, unpacked: int) -> bytes:
    """A zip of files that all share the bytes of one: https://www.bamsoftware.com/hacks/zipbomb/, the simple kind."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = bytes(unpacked)
    packed, checksum = packer.compress(content) + packer.flush(), zlib.crc32(content)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, checksum, len(packed), unpacked, 1, 0)
    body = local + b"0" + packed
    directory = b"".join(
        struct.pack(
            "<4s6H3I5H2I",
            *(b"PK\1\2", 20, 20, 0, 8, 0, 0, checksum, len(packed), unpacked, len(name), 0, 0, 0, 0, 0, 0),
        )
        + name
        for name in (b"%d" % number for number in range(count))
    )
    return body + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)


def lying(document: bytes, name: str, size: int) -> bytes:
    """The same zip, claiming another unpacked size of one of its files."""
    changed = bytearray(document)
    at = changed.rindex(name.encode()) - 46
    assert changed[at : at + 4] == b"PK\1\2"
    changed[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(changed)
