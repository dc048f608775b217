"""Documents as office programs, browsers and scanners make them."""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
from fpdf import FPDF

from bench.pdf import pdf, restricted_pdf
from bench.samples import PARAGRAPH
from tests.samples.clean.images import encoded, photo
from tests.samples.clean.sample import Sample

# Without types.
draw: Any = import_module("odf.draw")
opendocument: Any = import_module("odf.opendocument")
style: Any = import_module("odf.style")
table: Any = import_module("odf.table")
text: Any = import_module("odf.text")

OOXML = "application/vnd.openxmlformats-officedocument."
DOCX = OOXML + "wordprocessingml.document"
XLSX = OOXML + "spreadsheetml.sheet"
PPTX = OOXML + "presentationml.presentation"
ODF = "application/vnd.oasis.opendocument."
EPUB = "application/epub+zip"

_CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
_CHAPTER = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>One</title></head><body><p>One.</p></body></html>'


def samples() -> Iterator[Sample]:
    """Every document type in the ways it is usually made."""
    for name, body in _pdfs().items():
        yield Sample(f"{name}.pdf", "application/pdf", body)
    plain = word(2)
    yield Sample("letter.docx", DOCX, plain)
    yield Sample("pictures.docx", DOCX, word(300, pictures=5))
    yield Sample("streamed.docx", DOCX, streamed(plain))
    yield Sample("types-last.docx", DOCX, repacked(plain, key=lambda name: name == "[Content_Types].xml"))
    yield Sample("stored.docx", DOCX, repacked(plain, method=zipfile.ZIP_STORED))
    yield Sample("many-parts.docx", DOCX, repacked(plain, extra={f"word/media/image{n}.png": b"" for n in range(900)}))
    yield Sample("by-word.docx", DOCX, _template(docx.__file__, "docx"))
    yield Sample("by-powerpoint.pptx", PPTX, _template(pptx.__file__, "pptx"))
    yield Sample("table.xlsx", XLSX, sheet())
    yield Sample("sheets.xlsx", XLSX, sheet(60))
    yield Sample("types-first.xlsx", XLSX, repacked(sheet(), key=lambda name: name != "[Content_Types].xml"))
    yield Sample("talk.pptx", PPTX, slides(1))
    yield Sample("long-talk.pptx", PPTX, slides(40))
    yield Sample("letter.odt", ODF + "text", _odf(opendocument.OpenDocumentText, _write))
    yield Sample("table.ods", ODF + "spreadsheet", _odf(opendocument.OpenDocumentSpreadsheet, _calculate))
    yield Sample("talk.odp", ODF + "presentation", _odf(opendocument.OpenDocumentPresentation, _present))
    yield Sample("book.epub", EPUB, epub())
    yield Sample("stored.epub", EPUB, epub(zipfile.ZIP_STORED))
    yield Sample("long.epub", EPUB, epub(chapters=700))
    yield Sample("zipped-by-hand.epub", EPUB, _by_hand(epub()))
    yield Sample("zipped-by-hand.odt", ODF + "text", _by_hand(_odf(opendocument.OpenDocumentText, _write)))


def _template(module: str | None, name: str) -> bytes:
    """What Microsoft's own program wrote: the empty document that a library begins with (MIT)."""
    assert module is not None
    return Path(module).with_name("templates").joinpath(f"default.{name}").read_bytes()


def word(paragraphs: int, pictures: int = 0) -> bytes:
    """A letter by python-docx."""
    document = docx.Document()
    document.add_heading("A letter <b>", 1)
    for _ in range(paragraphs):
        document.add_paragraph(PARAGRAPH)
    for number in range(pictures):
        document.add_picture(BytesIO(encoded(photo(number, (300, 200)), "PNG")))
    document.add_table(2, 3)
    return _saved(document.save)


def sheet(sheets: int = 1) -> bytes:
    """A workbook by openpyxl."""
    book = openpyxl.Workbook()
    for number in range(sheets):
        page = book.create_sheet(f"Sheet <{number}>")
        for row in range(20):
            page.append([row, row * 1.5, f"=A{row + 1}*2", "text"])
    return _saved(book.save)


def slides(count: int) -> bytes:
    """A presentation by python-pptx."""
    deck = pptx.Presentation()
    for number in range(count):
        slide = deck.slides.add_slide(deck.slide_layouts[0])
        assert slide.shapes.title is not None
        slide.shapes.title.text = f"Slide {number}"
    return _saved(deck.save)


def epub(method: int = zipfile.ZIP_DEFLATED, chapters: int = 1) -> bytes:
    """A book: https://www.w3.org/TR/epub-33/#sec-ocf."""
    parts = {"META-INF/container.xml": _CONTAINER, "book.opf": "<package/>"}
    parts |= {f"chapter{number}.xhtml": _CHAPTER for number in range(chapters)}
    return zipped({"mimetype": EPUB, **parts}, method)


def zipped(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these, its first entry `mimetype` stored as documents want it."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else method)
    return buffer.getvalue()


def unzipped(archive: bytes) -> dict[str, bytes]:
    """The parts of a zip, in their order."""
    with zipfile.ZipFile(BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def repacked(
    archive: bytes,
    *,
    key: Callable[[str], Any] | None = None,
    method: int = zipfile.ZIP_DEFLATED,
    extra: dict[str, bytes] | None = None,
) -> bytes:
    """The same parts in another order, by another method, or among more of them."""
    parts = unzipped(archive) | (extra or {})
    return zipped({name: parts[name] for name in (sorted(parts, key=key) if key else parts)}, method)


def _by_hand(archive: bytes) -> bytes:
    """As `zip -r` does it: `mimetype` packed like the rest, and wherever it happens to come."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sorted(unzipped(archive).items()):
            packed.writestr(name, content)
    return buffer.getvalue()


class _Pipe(io.RawIOBase):
    """What can't go back: lengths then stand behind each part, as when a server makes a document for a download."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += data
        return len(data)


def streamed(archive: bytes) -> bytes:
    """The same parts, written into a pipe."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in unzipped(archive).items():
            out.writestr(name, content)
    return bytes(pipe.written)


def _saved(save: Callable[[BytesIO], Any]) -> bytes:
    buffer = BytesIO()
    save(buffer)
    return buffer.getvalue()


def _odf(make: Callable[[], Any], fill: Callable[[Any], None]) -> bytes:
    document = make()
    fill(document)
    return _saved(document.write)


def _write(document: Any) -> None:
    for _ in range(20):
        document.text.addElement(text.P(text=PARAGRAPH))
    document.addPicture("a.png", "image/png", encoded(photo(), "PNG"))


def _calculate(document: Any) -> None:
    page = table.Table(name="One")
    for number in range(10):
        row = table.TableRow()
        row.addElement(table.TableCell(valuetype="float", value=number))
        page.addElement(row)
    document.spreadsheet.addElement(page)


def _present(document: Any) -> None:
    layout = style.PageLayout(name="L")
    document.automaticstyles.addElement(layout)
    master = style.MasterPage(name="M", pagelayoutname=layout)
    document.masterstyles.addElement(master)
    document.presentation.addElement(draw.Page(masterpagename=master))


def _pdfs() -> dict[str, bytes]:
    one = pdf(1)
    return {
        "one-page": one,
        "many-pages": pdf(60),
        "restricted": restricted_pdf(),
        "uncompressed": _printed(compress=False),
        "described": _printed(title="What <script> and <?php do", about="<b>"),
        "attached": _printed(attachment=sheet()),
        "scanned": encoded(photo(1, (600, 400)), "PDF"),
        "old": _printed(version="1.3"),
        "newline": one + b"\r\n",
        "padded": one + bytes(200),
        "signed": _updated(one),
    }


def _printed(
    *, compress: bool = True, title: str = "", about: str = "", attachment: bytes = b"", version: str = ""
) -> bytes:
    document = FPDF()
    document.set_compression(compress)
    document.set_title(title)
    document.set_subject(about)
    if version:
        document.pdf_version = version
    document.set_font("helvetica", size=11)
    document.add_page()
    document.multi_cell(w=0, text=f"{title} {PARAGRAPH}")
    if attachment:
        document.embed_file(bytes=attachment, basename="numbers.xlsx", compress=True)
    return bytes(document.output())


def _updated(document: bytes) -> bytes:
    """As a signature or a filled form leaves it: more objects and a second end behind the first."""
    before = document.rindex(b"startxref")
    old = document[before:].split()[1].decode()
    at = len(document) + 1
    entry = b"999 0 obj\n<< /Type /Metadata >>\nendobj\n"
    table_at = at + len(entry)
    trailer = document[document.rindex(b"trailer") : before].replace(b"<<", f"<< /Prev {old}".encode(), 1)
    xref = f"xref\n999 1\n{at:010} 00000 n \n".encode()
    return document + b"\n" + entry + xref + trailer + f"startxref\n{table_at}\n%%EOF\n".encode()
