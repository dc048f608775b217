import os
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from infra.decoder import DecodeRejected, DecoderPool, probe_pdf, probe_text, require_whole_ogg, unnamed_file
from infra.settings import MIB, Settings
from schemas.probe import PdfProbe, TextProbe
from tests.samples import av, documents

Make = Callable[[bytes], int]


async def _code(probing: Any) -> str:
    with pytest.raises(DecodeRejected) as rejected:
        await probing
    return rejected.value.code


async def test_a_good_pdf_is_described(pool: DecoderPool, file_of: Make) -> None:
    """Pages, version and the first page's size come out of a whole document."""
    found = await probe_pdf(pool, file_of(documents.pdf(3)))
    assert (found.pages, found.encrypted, found.version) == (3, False, "1.3")
    assert (round(found.width_points), round(found.height_points)) == (595, 842)


async def test_every_unique_pdf_is_good(pool: DecoderPool, file_of: Make) -> None:
    """The benchmark's documents are whole, of the size asked for, and differ."""
    made = [documents.unique_pdf(seed, 100_000) for seed in range(20)]
    assert {len(one) for one in made} == {100_000}
    assert len(set(made)) == 20
    for one in made:
        assert (await probe_pdf(pool, file_of(one))).pages == 1


async def test_a_pdf_that_needs_a_password_is_rejected(pool: DecoderPool, file_of: Make) -> None:
    """What nobody can look into is not let in."""
    assert await _code(probe_pdf(pool, file_of(documents.encrypted_pdf()))) == "encrypted"


async def test_a_pdf_with_an_owner_password_alone_is_fine(pool: DecoderPool, file_of: Make) -> None:
    """Restrictions don't hinder reading; that there are some is noted."""
    assert (await probe_pdf(pool, file_of(documents.restricted_pdf()))).encrypted


@pytest.mark.parametrize("keep", [1, 20, 2000, 10_000, 19_000, 19_900, 19_998])
async def test_a_truncated_pdf_is_rejected(pool: DecoderPool, file_of: Make, keep: int) -> None:
    """Wherever the upload stopped, the document is not silently repaired."""
    assert await _code(probe_pdf(pool, file_of(documents.unique_pdf(0, 20_000)[:keep]))) == "truncated"


async def test_a_hole_in_a_pdf_is_corrupt(pool: DecoderPool, file_of: Make) -> None:
    """Both ends may be there: with bytes missing between, the cross-reference table isn't where it should be."""
    whole = documents.unique_pdf(1, 20_000)
    assert await _code(probe_pdf(pool, file_of(whole[:5000] + whole[5100:]))) == "corrupt"


async def test_a_linearized_pdf_cut_behind_its_first_section_is_truncated(pool: DecoderPool, file_of: Make) -> None:
    """A linearized document has an end mark near its beginning: its stated length gives the cut away."""
    whole = documents.pdf()
    head, rest = whole.split(b"\n", 1)
    shift = b"\n1000 0 obj\n<</Linearized 1/L 999999/H[0 0]/O 1/E 1/N 1/T 1>>\nendobj\n"
    moved = head + shift + rest
    start = moved.rindex(b"xref\n0 ")
    moved = moved[: moved.rindex(b"startxref")] + b"startxref\n%d\n%%%%EOF\n" % start
    assert await _code(probe_pdf(pool, file_of(moved))) == "truncated"


@pytest.mark.parametrize(
    "content",
    [b"", b"%PDF-1.7\n", b"%PDF-1.7\nxref\n0 0\ntrailer\n<<>>\nstartxref\n9\n%%EOF\n", os.urandom(10_000)],
    ids=["empty", "header", "no pages", "noise"],
)
async def test_what_is_no_document_is_rejected(pool: DecoderPool, file_of: Make, content: bytes) -> None:
    """Nothing that pdfium can't open whole passes."""
    assert await _code(probe_pdf(pool, file_of(content))) in {"truncated", "corrupt"}


async def test_pages_have_a_budget(pool: DecoderPool, file_of: Make) -> None:
    """One page more than allowed is too many, exactly as many are fine."""
    file = file_of(documents.pdf(4))
    assert (await probe_pdf(pool, file, max_pages=4)).pages == 4
    assert await _code(probe_pdf(pool, file, max_pages=3)) == "too_many_pages"


def _pdf(*objects: bytes, root: int = 1) -> bytes:
    """A PDF of these objects with a good cross-reference table."""
    body, offsets = b"%PDF-1.7\n", list[int]()
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    end = b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (count, root, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n" % count + table + end


def _packed(unpacked: int, fields: bytes) -> bytes:
    """A stream object that unpacks, twice packed, to so many bytes."""
    packed = zlib.compress(zlib.compress(bytes(unpacked), 9), 9)
    return b"<<%s/Filter[/FlateDecode/FlateDecode]/Length %d>>stream\n%s\nendstream" % (fields, len(packed), packed)


PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]%s>>"
ONE_PAGE = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 1/Kids[3 0 R]>>")
LOOP = (ONE_PAGE[0], b"<</Type/Pages/Count 4000/Kids[2 0 R 2 0 R 2 0 R]>>")
COUNT = (ONE_PAGE[0], b"<</Type/Pages/Count 900000000/Kids[3 0 R]>>", PAGE % b"")
DEPTH = (*ONE_PAGE, PAGE % (b"/A " + b"[" * 200_000 + b"]" * 200_000))


async def test_a_pdf_bomb_is_refused(file_of: Make) -> None:
    """A page, or a stream of objects, that unpacks to more memory than there may be; a page tree of nothing but itself.

    Pdfium ends itself when it gets no more memory, and so its child.
    """
    pool = DecoderPool(Settings(decoder_memory_bytes=256 * MIB))
    await pool.start()
    for content in (
        _pdf(*ONE_PAGE, PAGE % b"/Contents 4 0 R", _packed(300_000_000, b"")),
        _pdf(b"<</Type/Catalog/Pages 7 0 R>>", _packed(300_000_000, b"/Type/ObjStm/N 100000/First 4")),
        _pdf(*LOOP),
    ):
        assert len(content) < 100_000
        assert await _code(probe_pdf(pool, file_of(content))) in {"corrupt", "decode_crash", "decode_memory"}
        assert (await probe_pdf(pool, file_of(documents.pdf()))).pages == 1
    await pool.aclose()


@pytest.mark.parametrize("objects", [COUNT, DEPTH], ids=["count", "depth"])
async def test_a_pdf_that_only_boasts_is_read_as_it_is(
    pool: DecoderPool, file_of: Make, objects: tuple[bytes, ...]
) -> None:
    """Pages that are not there are not counted; arrays too deep are no arrays."""
    assert (await probe_pdf(pool, file_of(_pdf(*objects)))).pages == 1


@pytest.mark.parametrize("name", ["vorbis.ogg", "opus.ogg"])
async def test_an_ogg_cut_within_a_page_is_truncated(pool: DecoderPool, file_of: Make, name: str) -> None:
    """Wherever the upload stopped, but at a page's very end."""
    whole = av.media(name)
    await require_whole_ogg(pool, file_of(whole))
    for keep in (0, 1, 26, 27, len(whole) // 3, len(whole) - 1):
        assert await _code(require_whole_ogg(pool, file_of(whole[:keep]))) == "truncated"


async def test_an_impossible_result_is_not_believed(pool: DecoderPool, file_of: Make, monkeypatch: Any) -> None:
    """A child that was taken over can't say what the model doesn't allow."""

    async def forged(*args: Any, **keywords: Any) -> dict[str, Any]:
        return {"pages": -1, "encrypted": False, "width_points": 1, "height_points": 1}

    monkeypatch.setattr(pool, "run", forged)
    assert await _code(probe_pdf(pool, file_of(b""))) == "decode_crash"


@pytest.mark.parametrize(
    ("content", "encoding", "lines"),
    [
        (b"one\ntwo\n", "utf-8", 2),
        (b"one\r\ntwo", "utf-8", 2),
        ("ünïcödé €😀".encode(), "utf-8", 1),
        ("\ufeffwith a mark\n".encode(), "utf-8", 1),
        ("sixteen\nbits\n".encode("utf-16"), "utf-16", 2),
        (b"\xfe\xff" + "big\nend".encode("utf-16-be"), "utf-16", 2),
        ("€".encode() * 500_000, "utf-8", 1),
        (b"", "utf-8", 0),
    ],
)
async def test_text_is_counted(pool: DecoderPool, file_of: Make, content: bytes, encoding: Any, lines: int) -> None:
    """UTF-8, and UTF-16 with its mark, are text; characters may lie across the chunks that are read."""
    assert await probe_text(pool, file_of(content)) == TextProbe(encoding=encoding, lines=lines)


@pytest.mark.parametrize(
    "content",
    [b"a\x00b", b"\x1b[31mred", b"latin: \xe9t\xe9", b"cut \xe2\x82", "\x9b1m".encode(),
     b"\xff\xfea\x00b", b"\xff\xfe\x00\x00a"],
    ids=["nul", "escape", "latin-1", "cut", "c1", "half a unit", "utf-32"],
)  # fmt: skip
async def test_what_is_no_text_is_rejected(pool: DecoderPool, file_of: Make, content: bytes) -> None:
    """Bytes that decode to nothing, or to what controls a terminal, are no text, at the beginning or far behind."""
    assert await _code(probe_text(pool, file_of(content))) == "not_text"
    if not content.startswith(b"\xff"):
        assert await _code(probe_text(pool, file_of(b"fine\n" * 100_000 + content))) == "not_text"


async def test_large_text_takes_no_memory(pool: DecoderPool) -> None:
    """64 MiB are read in a child that grows by a chunk or two."""
    file = unnamed_file()
    for _ in range(64):
        os.write(file, b"a line of sixteen\n" * 58_254)
    found = await probe_text(pool, file)
    os.close(file)
    assert found.lines == 64 * 58_254
    peaks = [_peak_mib(pid) for pid in pool.pids]
    assert max(peaks) < 56  # of which 45 are what a child has loaded


def _peak_mib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 -- two lines shorter
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))


def test_probes_are_told_apart_by_their_type() -> None:
    """The event's reader knows by `type` which fields there are."""
    assert PdfProbe(pages=1, encrypted=False, width_points=1, height_points=1).type == "pdf"
    assert TextProbe(encoding="utf-8", lines=0).type == "text"
