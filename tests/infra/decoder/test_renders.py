"""Covers, waveforms, pages and first words out of the decoders: their pixels, and nothing else of the original."""

import io
from array import array
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from fpdf import FPDF
from PIL import Image, ImageCms

from infra.decoder import (
    DecodeRejected,
    DecoderPool,
    Picture,
    draw_peaks,
    read_first_words,
    render_cover,
    render_first_page,
)
from infra.settings import Settings
from tests.samples import documents, images, pages, sounds

pytestmark = pytest.mark.asyncio(loop_scope="module")

FileOf = Callable[[bytes], int]
Color = tuple[int, ...]
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
SECRETS = (b"Secret", b"Exif", b"http://ns.adobe.com", b"ICC_PROFILE")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """One decoder for all: to start one takes longer than most of what it does here."""
    started = DecoderPool(Settings(decoder_processes=1))
    await started.start()
    yield started
    await started.aclose()


def opened(picture: Picture) -> Image.Image:
    """A picture that was made: of the type and size that it says, and without metadata."""
    image = Image.open(io.BytesIO(picture.content))
    assert f"image/{(image.format or '').lower()}" == picture.content_type
    assert image.size == (picture.width, picture.height)
    assert not any(secret in picture.content for secret in SECRETS)
    assert not dict(image.getexif())
    assert not {"exif", "xmp", "icc_profile", "comment", "photoshop"} & set(image.info)
    image.load()
    return image


def near(image: Image.Image, at: tuple[float, float], color: Color) -> bool:
    """Whether a place, given in parts of the sides, has a colour, but for what coding loses."""
    found = image.convert("RGB").getpixel((int(at[0] * (image.width - 1)), int(at[1] * (image.height - 1))))
    assert isinstance(found, tuple)
    return all(abs(one - other) < 24 for one, other in zip(found, color, strict=True))


async def cover(pool: DecoderPool, file: int, longest: int = 200) -> list[Image.Image]:
    """A cover in both codings."""
    made = await render_cover(pool, file, longest=longest, quality=80)
    assert [picture.coding for picture in made] == ["webp", "jpeg"]
    return [opened(picture) for picture in made]


async def test_a_cover_loses_its_place_and_device(pool: DecoderPool, file_of: FileOf) -> None:
    """Position, maker and comment of a photo are gone; its size is bounded, its colours are what they were."""
    body = sounds.photo()
    assert b"Secret" in body
    for image in await cover(pool, file_of(body)):
        assert image.size == (200, 150)
        assert near(image, (0.1, 0.5), RED)
        assert near(image, (0.9, 0.5), BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_cover_stands_upright(pool: DecoderPool, file_of: FileOf, orientation: int) -> None:
    """EXIF's eight orientations are applied, as they are lost."""
    red = {1: (0.1, 0.5), 2: (0.9, 0.5), 3: (0.9, 0.5), 4: (0.1, 0.5)} | {5: (0.5, 0.1), 6: (0.5, 0.1)}
    red |= {7: (0.5, 0.9), 8: (0.5, 0.9)}
    for image in await cover(pool, file_of(sounds.photo(orientation=orientation))):
        assert image.size == ((200, 150) if orientation < 5 else (150, 200))
        assert near(image, red[orientation], RED)
        assert near(image, (1 - red[orientation][0], 1 - red[orientation][1]), BLUE)


async def test_covers_of_other_types(pool: DecoderPool, file_of: FileOf) -> None:
    """PNG with transparency, palette GIF, WebP, BMP, grey and CMYK JPEG; a small one is not enlarged."""
    clear = Image.new("RGBA", (64, 64), (0, 0, 255, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 32, 64))
    webp, jpeg = await cover(pool, file_of(encoded(clear, "PNG")))
    assert webp.size == (64, 64)
    assert webp.mode == "RGBA"
    assert webp.getpixel((60, 30)) == (0, 0, 0, 0) or webp.getchannel("A").getpixel((60, 30)) == 0
    assert near(jpeg, (0.1, 0.5), RED)
    assert near(jpeg, (0.95, 0.5), WHITE)
    flat = clear.convert("RGB")
    for body in (
        encoded(flat.convert("P"), "GIF"),
        encoded(flat, "WEBP", quality=100),
        encoded(flat, "BMP"),
        encoded(flat.convert("CMYK"), "JPEG", quality=95),
    ):
        for image in await cover(pool, file_of(body)):
            assert near(image, (0.1, 0.5), RED)
            assert near(image, (0.9, 0.5), BLUE)
    for image in await cover(pool, file_of(encoded(Image.new("L", (9, 300), 128), "JPEG"))):
        assert image.size == (6, 200)
        assert near(image, (0.5, 0.5), (128, 128, 128))


async def test_a_cover_in_another_colour_space(pool: DecoderPool, file_of: FileOf) -> None:
    """Its profile is applied before it is lost."""
    # Pillow has no other profile of three channels than sRGB: with red and green changed over in it, red looks green.
    srgb = ImageCms.ImageCmsProfile(
        ImageCms.createProfile("sRGB")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] -- any space
    )
    profile = bytearray(srgb.tobytes())
    at = {name: profile.index(name, 128) for name in (b"rXYZ", b"gXYZ")}
    profile[at[b"rXYZ"] : at[b"rXYZ"] + 4], profile[at[b"gXYZ"] : at[b"gXYZ"] + 4] = b"gXYZ", b"rXYZ"
    body = encoded(Image.new("RGB", (64, 64), RED), "JPEG", icc_profile=bytes(profile), quality=95)
    for image in await cover(pool, file_of(body)):
        assert near(image, (0.5, 0.5), (0, 255, 0))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"GIF89a" + bytes(20), "corrupt"),
        (b"no picture at all", "corrupt"),
        (sounds.photo()[:2000], "truncated"),
        (images.png(60_000, 60_000, pixels=b"0"), "too_many_pixels"),
        (documents.pdf(), "corrupt"),
    ],
    ids=["header", "text", "half", "pixels", "pdf"],
)
async def test_no_cover(pool: DecoderPool, file_of: FileOf, body: bytes, code: str) -> None:
    """What isn't a picture, or isn't all there, or is far too large, is refused with a code."""
    with pytest.raises(DecodeRejected) as rejected:
        await render_cover(pool, file_of(body), longest=200, quality=80)
    assert rejected.value.code == code


async def test_a_waveform_is_drawn(pool: DecoderPool) -> None:
    """A column a pair, from its lowest to its highest; silence is a line; the colours are those asked for."""
    pairs = array("b", [*(0, 0) * 10, *(-128, 127) * 10, *(0, 127) * 10, *(-64, 0) * 10]).tobytes()
    for coding in ("webp", "png"):
        picture = await draw_peaks(pool, pairs, height=100, color="#ff0000", background="#0000ffff", coding=coding)
        image = opened(picture)
        assert image.size == (40, 100)
        rows = [[y for y in range(100) if near(image, (column / 39, y / 99), RED)] for column in (5, 15, 25, 35)]
        assert rows[0] in ([49], [49, 50], [50])
        assert rows[1] == list(range(100))
        assert (rows[2][0], rows[2][-1]) in {(0, 49), (0, 50)}
        assert rows[3][0] in {49, 50}
        assert rows[3][-1] in {74, 75}
    clear = opened(await draw_peaks(pool, pairs, height=100, color="#ff000080", background="#00000000", coding="webp"))
    assert clear.getpixel((15, 50)) == (255, 0, 0, 128)
    alpha = clear.getpixel((5, 5))
    assert isinstance(alpha, tuple)
    assert alpha[3] == 0


async def page(pool: DecoderPool, file: int, *, longest: int = 400, dpi: int = 150) -> tuple[int, Image.Image]:
    """The first page, the same in both codings; and how many pages there are."""
    count, (webp, jpeg) = await render_first_page(
        pool, file, longest=longest, dpi=dpi, quality=80, codings=("webp", "jpeg")
    )
    assert opened(webp).size == opened(jpeg).size
    assert opened(jpeg).mode == "RGB"
    return count, opened(webp).convert("RGB")


@pytest.mark.parametrize(
    ("box", "extra", "size", "red"),
    [
        ((0, 0, 595, 842), b"", (283, 400), (0.25, 0.25)),
        ((0, 0, 842, 595), b"", (400, 283), (0.25, 0.25)),
        ((0, 0, 595, 842), b"/Rotate 90", (400, 283), (0.75, 0.25)),
        ((0, 0, 595, 842), b"/Rotate 180", (283, 400), (0.75, 0.75)),
        ((0, 0, 595, 842), b"/Rotate 270", (400, 283), (0.25, 0.75)),
        ((-300, -400, 300, 400), b"", (300, 400), (0.25, 0.25)),
        ((0, 0, 595, 842), b"/CropBox [0 421 595 842]", (400, 283), (0.25, 0.5)),
        ((0, 0, 595, 842), b"/CropBox [1000 1000 1595 1842]", (283, 400), (0.25, 0.25)),
        ((0, 0, 595, 842), b"/Rotate 90 /CropBox [595 0 900 842]", (400, 283), (0.75, 0.25)),
    ],
    ids=["portrait", "landscape", "90", "180", "270", "offset", "cropped", "cropped elsewhere", "cropped beside"],
)
async def test_a_page_as_it_is_shown(
    pool: DecoderPool,
    file_of: FileOf,
    box: tuple[float, ...],
    extra: bytes,
    size: tuple[int, int],
    red: tuple[float, float],
) -> None:
    """Upright, cut as the document says, on white."""
    count, image = await page(pool, file_of(pages.page(pages.corner(box=box), box=box, extra=extra)))
    assert (count, image.size) == (1, size)
    assert near(image, red, RED)
    assert near(image, (1 - red[0], 1 - red[1]), RED if extra.startswith(b"/Crop") and red[0] > 0.5 else WHITE)


async def test_what_is_transparent_shows_white(pool: DecoderPool, file_of: FileOf) -> None:
    """Half opaque red over white paper is pink."""
    body = pages.page(b"/G gs " + pages.corner(), resources=b"/ExtGState << /G << /ca 0.5 >> >>")
    _, image = await page(pool, file_of(body))
    assert near(image, (0.25, 0.25), (255, 128, 128))
    assert near(image, (0.75, 0.75), WHITE)


async def test_a_small_page_stays_small_and_a_huge_one_is_bounded(pool: DecoderPool, file_of: FileOf) -> None:
    """A stamp has no more dots an inch than asked for; a box of kilometres, or of a hair, costs no more than others."""
    for box, size in (
        ((0, 0, 72, 36), (150, 75)),
        ((0, 0, 2, 2), (4, 4)),
        ((0, 0, 14_400, 14_400), (400, 400)),
        ((0, 0, 200_000_000, 100_000_000), (309, 400)),  # beyond its bounds pdfium takes a page for Letter
        ((0, 0, 14_400, 3), (400, 1)),
        ((0, 0, 3, 14_400), (1, 400)),
    ):
        _, image = await page(pool, file_of(pages.page(pages.corner(box=box), box=box)))
        assert image.size == size
        if min(size) > 10 and max(box) < 1e6:
            assert near(image, (0.25, 0.25), RED)


async def test_pages_of_real_documents(pool: DecoderPool, file_of: FileOf) -> None:
    """Made by a library: several pages, restricted with an empty password; a form's field shows what is in it."""
    for body, count in ((documents.pdf(3), 3), (documents.restricted_pdf(), 1)):
        found, image = await page(pool, file_of(body))
        assert found == count
        assert min(image.convert("L").tobytes()) < 100  # its words are black
    field = pages.form(b"1 0 0 rg 0 0 600 900 re f")  # its box is scaled to the field
    widget = b"<< /Type /Annot /Subtype /Widget /Rect [100 600 200 700] /F 4 /FT /Tx /T (a) /AP << /N 7 0 R >> >>"
    body = pages.page(
        b"", extra=b"/Annots [6 0 R]", catalog=b"/AcroForm << /Fields [6 0 R] >>", objects=[widget, field]
    )
    _, image = await page(pool, file_of(body))
    assert near(image, (150 / 595, (842 - 650) / 842), RED)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (documents.encrypted_pdf(), "encrypted"),
        (
            pages.document(
                [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", b"null"]
            ),
            "corrupt",
        ),
        (b"%PDF-1.7\nnothing", "corrupt"),
    ],
    ids=["password", "no page", "no document"],
)
async def test_no_page(pool: DecoderPool, file_of: FileOf, body: bytes, code: str) -> None:
    """Without a page that can be parsed there is no picture, and the reason is said."""
    with pytest.raises(DecodeRejected) as rejected:
        await page(pool, file_of(body))
    assert rejected.value.code == code


async def test_a_page_with_broken_content(pool: DecoderPool, file_of: FileOf) -> None:
    """What can be drawn is drawn."""
    _, image = await page(pool, file_of(pages.page(pages.corner() + b" Q Q ]] (( /Nothing Do 9 9 9 9 9 c f")))
    assert near(image, (0.25, 0.25), RED)


async def test_a_page_that_would_take_for_ever(file_of: FileOf) -> None:
    """Is given up at the time limit, by a decoder that is replaced."""
    # Each draws the next one forty times: ten levels are ten million billion rectangles.
    nested = [pages.form(b"/X Do " * 40, b"/XObject << /X %d 0 R >>" % (number + 1)) for number in range(6, 16)]
    nested.append(pages.form(b"0 0 600 900 re f"))
    body = pages.page(b"/X Do", resources=b"/XObject << /X 6 0 R >>", objects=nested)
    impatient = DecoderPool(Settings(decoder_processes=1, decoder_timeout_seconds=1))
    await impatient.start()
    try:
        with pytest.raises(DecodeRejected) as rejected:
            await page(impatient, file_of(body))
        assert rejected.value.code == "decode_timeout"
        count, _ = await page(impatient, file_of(documents.pdf()))
        assert count == 1
    finally:
        await impatient.aclose()


def written(*lines: str, font: str = "helvetica") -> bytes:
    """A PDF of lines."""
    document = FPDF()
    document.add_page()
    document.set_font(font, size=12)
    for line in lines:
        document.multi_cell(0, 8, line, new_x="LMARGIN", new_y="NEXT")
    return bytes(document.output())


async def words_of(pool: DecoderPool, file: int, most: int = 300, content_type: str = "application/pdf") -> str:
    """How a document begins."""
    return await read_first_words(pool, file, content_type, most)


async def test_first_words_of_a_pdf(pool: DecoderPool, file_of: FileOf) -> None:
    """Lines become one, more pages are read until there is enough, and no more than enough is said."""
    assert await words_of(pool, file_of(written("One  two", "three."))) == "One two three."
    assert await words_of(pool, file_of(documents.pdf(3))) == "Page 1 Page 2 Page 3"
    long = written("word " * 2000)
    assert await words_of(pool, file_of(long), 99) == ("word " * 20).strip()
    assert len(await words_of(pool, file_of(long), 1000)) > 990


async def test_first_words_that_typesetters_joined(pool: DecoderPool, file_of: FileOf) -> None:
    """Ligatures are letters again, whatever the font calls them."""
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
        b"1 begincodespacerange <00> <FF> endcodespacerange "
        b"3 beginbfchar <41> <FB01> <42> <0066 0066 0069> <43> <05E9> endbfchar endcmap end end"
    )
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding /ToUnicode 7 0 R >>"
    stream = b"<< /Length %d >>\nstream\n%b\nendstream" % (len(cmap), cmap)
    content = b"BT /F2 24 Tf 50 700 Td (Ash eBcient) Tj ET"
    body = pages.page(content, resources=b"", objects=[font, stream]).replace(b"/F1 5 0 R", b"/F2 6 0 R")
    assert await words_of(pool, file_of(body)) == "\ufb01sh efficient".replace("\ufb01", "fi")


async def test_first_words_from_right_to_left(pool: DecoderPool, file_of: FileOf) -> None:
    """Hebrew comes in the order in which it is read."""
    letters = "\u05e9\u05dc\u05d5\u05dd"  # shalom, its first letter first
    codes = b"".join(b"<%02X> <%04X> " % (65 + place, ord(letter)) for place, letter in enumerate(letters))
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
        b"1 begincodespacerange <00> <FF> endcodespacerange %d beginbfchar %bendbfchar endcmap end end"
        % (len(letters), codes)
    )
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding /ToUnicode 7 0 R >>"
    stream = b"<< /Length %d >>\nstream\n%b\nendstream" % (len(cmap), cmap)
    # On the page from left to right: its last letter first.
    content = b"BT /F2 24 Tf 50 700 Td (DCBA) Tj ET"
    body = pages.page(content, objects=[font, stream]).replace(b"/F1 5 0 R", b"/F2 6 0 R")
    assert await words_of(pool, file_of(body)) == letters


async def test_no_words(pool: DecoderPool, file_of: FileOf) -> None:
    """A scanned document, or an empty text, has none."""
    assert await words_of(pool, file_of(documents.unique_pdf(7, 8000))) in {"", "Page 1"}
    assert await words_of(pool, file_of(pages.page(pages.corner()))) == ""
    assert await words_of(pool, file_of(b"\n\n  \n"), content_type="text/plain") == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_first_words_of_a_text(pool: DecoderPool, file_of: FileOf, encoding: str) -> None:
    """As it is coded, without its mark; of a long one the beginning, though a character lies across the end."""
    text = "Grüße,\r\n\r\n\tÆsop\u202e!"
    assert await words_of(pool, file_of(text.encode(encoding)), content_type="text/plain") == "Grüße, Æsop!"
    long = ("é" * 7 + " ") * 100_000
    assert await words_of(pool, file_of(long.encode(encoding)), 15, "text/plain") == "ééééééé ééééééé"
    odd = "a" + "é" * 200_000
    assert await words_of(pool, file_of(odd.encode(encoding)), 3, "text/plain") == "aéé"


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """A picture as a file."""
    body = io.BytesIO()
    image.save(body, form, **options)
    return body.getvalue()
