"""Office documents and EPUBs: unpacked whole within a budget, described by their manifest, or refused."""

import io
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio

from infra.decoder import DecodeRejected, DecoderPool, probe_office
from infra.settings import MIB, Settings
from schemas.types import TYPES
from tests.samples import office

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Callable[[bytes], int]

CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}
RELATION = (
    b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
    b'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s" Target="%s" '
    b'TargetMode="External"/></Relationships>'
)

SCRIPTED = office.epub_parts()["EPUB/package.opf"].replace(b'"one"', b'"one" properties="scripted"', 1)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """Decoders as a worker has them, the same for all: none may be the worse for the files before."""
    started = DecoderPool(Settings())
    await started.start()
    yield started
    await started.aclose()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def small() -> AsyncIterator[DecoderPool]:
    """Decoders with a small budget."""
    started = DecoderPool(Settings(max_archive_entries=20, max_archive_bytes=60 * MIB))
    await started.start()
    yield started
    await started.aclose()


async def _code(pool: DecoderPool, file: int, extension: str) -> str:
    with pytest.raises(DecodeRejected) as rejected:
        await probe_office(pool, file, CONTENT_TYPES[extension])
    return rejected.value.code


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("plain.docx", {"pages": 1}),
        ("plain.xlsx", {"sheets": 2}),
        ("plain.pptx", {"slides": 3}),
        ("plain.odt", {}),
        ("plain.ods", {"sheets": 2}),
        ("plain.odp", {"slides": 3}),
        ("plain.epub", {"chapters": 2}),
    ],
)
async def test_a_good_document_is_described(
    pool: DecoderPool, file_of: Make, name: str, counted: dict[str, int]
) -> None:
    """What it is, and how much of it: sheets, slides and chapters counted, pages as its writer did."""
    whole = office.office(name)
    found = await probe_office(pool, file_of(whole), CONTENT_TYPES[name[6:]])
    parts = office.parts(whole)
    assert (found.format, found.entries) == (name[6:], len(parts))
    assert found.unpacked_bytes == sum(map(len, parts.values()))
    said = found.model_dump(include={"pages", "sheets", "slides", "chapters"}, exclude_none=True)
    assert said == counted


@pytest.mark.parametrize(("href", "name"), [("../text/one.xhtml", "text/one.xhtml"), ("a%20b.xhtml", "EPUB/a b.xhtml")])
async def test_where_a_books_chapters_are(pool: DecoderPool, file_of: Make, href: str, name: str) -> None:
    """A package names them as a page does others: beside its own folder, with what a URL escapes."""
    parts = office.epub_parts()
    package = parts["EPUB/package.opf"].replace(b"one.xhtml", href.encode()).replace(b"two.xhtml", b"missing.xhtml")
    chapter = parts.pop("EPUB/one.xhtml")
    del parts["EPUB/two.xhtml"]
    book = office.zipped({**parts, "EPUB/package.opf": package, name: chapter})
    assert (await probe_office(pool, file_of(book), CONTENT_TYPES["epub"])).chapters == 2


@pytest.mark.parametrize("name", office.NAMES)
async def test_a_document_cut_short_is_refused(pool: DecoderPool, file_of: Make, name: str) -> None:
    """Wherever the upload stopped; nobody looks for what may be left."""
    whole = office.office(name)
    for keep in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        assert await _code(pool, file_of(whole[:keep]), name[6:]) == "truncated"


async def test_damage_is_seen(pool: DecoderPool, file_of: Make) -> None:
    """A byte that is another one, somewhere in a part that no manifest needs, changes its checksum."""
    whole = office.with_parts(office.office("plain.docx"), {"customXml/item1.xml": bytes(range(256)) * 10})
    at = whole.index(b"customXml/item1.xml") + 100
    assert await _code(pool, file_of(whole[:at] + b"\xff\xff" + whole[at + 2 :]), "docx") == "corrupt"


@pytest.mark.parametrize("other", [name for name in office.NAMES if name != "plain.docx"])
async def test_what_is_another_document_is_said(pool: DecoderPool, file_of: Make, other: str) -> None:
    """The manifest says what it is, whatever it was taken for."""
    assert await _code(pool, file_of(office.office(other)), "docx") in {"type_mismatch", "corrupt"}
    assert await _code(pool, file_of(office.office("plain.docx")), other[6:]) in {"type_mismatch", "corrupt"}


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        (office.overlapping(5000, 10_000_000), "docx"),
        (office.overlapping(5, 1_000_000), "docx"),
        (office.with_parts(office.office("plain.docx"), {"zeros.xml": bytes(50 * MIB)}), "docx"),
        (office.with_parts(office.office("plain.docx"), {"zeros.xml": bytes(70 * MIB)}), "docx"),
        (office.with_parts(office.office("plain.docx"), {f"{n}.xml": b"" for n in range(20)}), "docx"),
        (office.lying(office.office("plain.docx"), "word/document.xml", 10), "docx"),
    ],
    ids=["quine-like", "overlap", "ratio", "bytes", "entries", "lies"],
)
async def test_a_zip_bomb_is_refused(small: DecoderPool, file_of: Make, content: bytes, extension: str) -> None:
    """By count, by size, by ratio, by overlap, or for saying two lengths of one part."""
    assert await _code(small, file_of(content), extension) in {"bomb", "unscannable"}
    assert (await probe_office(small, file_of(office.office("plain.docx")), CONTENT_TYPES["docx"])).format == "docx"


_BILLION = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
_OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize("evil", [_BILLION, _OUTSIDE, b"<a>" * 1000], ids=["laughs", "external", "depth"])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("plain.docx", "[Content_Types].xml"),
        ("plain.docx", "word/document.xml"),
        ("plain.odt", "META-INF/manifest.xml"),
        ("plain.epub", "META-INF/container.xml"),
    ],
)
async def test_xml_that_declares_entities_is_refused(
    pool: DecoderPool, file_of: Make, name: str, part: str, evil: bytes
) -> None:
    """None is expanded, none is fetched, and nothing nests without end."""
    assert await _code(pool, file_of(office.with_parts(office.office(name), {part: evil})), name[6:]) == "bomb"


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x", "/etc/passwd", "word\\..\\x", "C:/x", "a/./b", "a//b", "WORD/DOCUMENT.XML"]
)
async def test_names_that_lead_elsewhere_are_refused(pool: DecoderPool, file_of: Make, name: str) -> None:
    """Out of the document, or onto another of its parts."""
    changed = office.with_parts(office.office("plain.docx"), {name: b"x"})
    assert await _code(pool, file_of(changed), "docx") == "corrupt"


@pytest.mark.parametrize("before", [b"MZ\x90\0", b"%PDF-1.7\n"])
async def test_what_stands_around_a_zip_is_refused(pool: DecoderPool, file_of: Make, before: bytes) -> None:
    """A zip can be read from its end: something else before it makes two files of one, as does something behind."""
    whole = office.office("plain.docx")
    assert await _code(pool, file_of(before + whole), "docx") == "corrupt"
    assert await _code(pool, file_of(whole + b"trailer"), "docx") == "corrupt"
    shifted = io.BytesIO()
    shifted.write(before)
    with zipfile.ZipFile(shifted, "a") as archive:
        for name, content in office.parts(whole).items():
            archive.writestr(name, content)
    assert await _code(pool, file_of(shifted.getvalue()), "docx") in {"corrupt", "unscannable"}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("plain.docx", {"word/vbaProject.bin": b"x"}),
        ("plain.xlsx", {"xl/macrosheets/sheet1.xml": b"<x/>"}),
        ("plain.pptx", {"ppt/activeX/activeX1.xml": b"<x/>"}),
        ("plain.docx", {"word/_rels/settings.xml.rels": RELATION % (b"attachedTemplate", b"http://example.com/a")}),
        ("plain.docx", {"word/_rels/settings.xml.rels": RELATION % (b"attachedTemplate", b"file://host/share/a")}),
        ("plain.docx", {"word/_rels/document.xml.rels": RELATION % (b"oleObject", b"mhtml:http://example.com/a")}),
        ("plain.odt", {"Basic/Standard/Module1.xml": b"<x/>"}),
        ("plain.ods", {"Scripts/python/evil.py": b"x"}),
        (
            "plain.epub",
            {"EPUB/package.opf": SCRIPTED},
        ),
    ],
)  # fmt: skip
async def test_what_runs_or_fetches_is_refused(
    pool: DecoderPool, file_of: Make, name: str, changed: Mapping[str, bytes]
) -> None:
    """Macros, controls, scripts, and parts that are loaded from elsewhere on opening."""
    content = office.with_parts(office.office(name), changed)
    assert await _code(pool, file_of(content), name[6:]) == "active_content"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("plain.docx", {"word/_rels/x.xml.rels": RELATION % (b"hyperlink", b"http://example.com/a")}),
        ("plain.docx", {"word/_rels/x.xml.rels": RELATION % (b"attachedTemplate", b"file:///C:\\Letters\\our.dotx")}),
        ("plain.xlsx", {"xl/_rels/x.xml.rels": RELATION % (b"externalLinkPath", b"http://example.com/b.xlsx")}),
        ("plain.odt", {"Basic/script-lc.xml": b"<x/>", "Basic/Standard/script-lb.xml": b"<x/>"}),
    ],
)
async def test_what_waits_for_the_reader_is_fine(
    pool: DecoderPool, file_of: Make, name: str, changed: Mapping[str, bytes]
) -> None:
    """Hyperlinks, a template on the writer's own disk, links to other workbooks, an empty macro library."""
    content = office.with_parts(office.office(name), changed)
    assert (await probe_office(pool, file_of(content), CONTENT_TYPES[name[6:]])).format == name[6:]


async def test_embedded_documents_are_counted(pool: DecoderPool, file_of: Make) -> None:
    """A chart's workbook is no danger, and worth knowing."""
    content = office.with_parts(office.office("plain.docx"), {"word/embeddings/book.xlsx": b"PK"})
    assert (await probe_office(pool, file_of(content), CONTENT_TYPES["docx"])).embedded_objects == 1


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("plain.odt", {"META-INF/manifest.xml": b"<manifest><file-entry><encryption-data/></file-entry></manifest>"}),
        ("plain.epub", {"META-INF/encryption.xml": b'<encryption><EncryptionMethod Algorithm="aes"/></encryption>'}),
    ],
)
async def test_encrypted_documents_are_refused(
    pool: DecoderPool, file_of: Make, name: str, changed: Mapping[str, bytes]
) -> None:
    """With a password or rights management, nobody can look inside."""
    content = office.with_parts(office.office(name), changed)
    assert await _code(pool, file_of(content), name[6:]) == "encrypted"
    fonts = b'<encryption><EncryptionMethod Algorithm="http://www.idpf.org/2008/embedding"/></encryption>'
    readable = office.with_parts(office.office("plain.epub"), {"META-INF/encryption.xml": fonts})
    assert (await probe_office(pool, file_of(readable), CONTENT_TYPES["epub"])).chapters == 2


def _rewritten(mode: Any, *, wide: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", mode) as archive:
        for name, content in office.parts(office.office("plain.docx")).items():
            with archive.open(name, "w", force_zip64=wide) as entry:
                entry.write(content)
    return out.getvalue()


async def test_zips_as_other_writers_make_them(pool: DecoderPool, file_of: Make) -> None:
    """With nothing packed: fine; with a method that no document has, or with 64-bit fields, which clamd skips: not."""
    for mode in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        assert (await probe_office(pool, file_of(_rewritten(mode)), CONTENT_TYPES["docx"])).format == "docx"
        assert await _code(pool, file_of(_rewritten(mode, wide=True)), "docx") == "unscannable"
    assert await _code(pool, file_of(_rewritten(zipfile.ZIP_LZMA)), "docx") == "corrupt"


@pytest.mark.parametrize("missing", ["[Content_Types].xml", "word/document.xml"])
async def test_a_part_that_is_missing(pool: DecoderPool, file_of: Make, missing: str) -> None:
    """Without its manifest, or what that names, it is no document."""
    parts = office.parts(office.office("plain.docx"))
    del parts[missing]
    assert await _code(pool, file_of(office.zipped(parts)), "docx") == "corrupt"
