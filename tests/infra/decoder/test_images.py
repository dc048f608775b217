"""Images: every pixel is decoded within a budget, and what is cut short, damaged or built to hurt is refused."""

import asyncio
import io
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from infra.decoder import DecodeRejected, DecoderPool, probe_image, probe_text
from infra.decoder.child.whole import MOST_CHUNKS
from infra.settings import Settings
from schemas.types import TYPES
from tests.samples import images
from tests.samples.clean.images import XMP

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Callable[[bytes], int]

CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}
TIGHT = Settings(max_image_pixels=100 * 100, max_image_frames=5, max_image_total_pixels=30_000)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """Decoders as a worker has them, the same for all: none may be the worse for the files before."""
    started = DecoderPool(Settings())
    await started.start()
    yield started
    await started.aclose()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tight() -> AsyncIterator[DecoderPool]:
    """Decoders with a small budget."""
    started = DecoderPool(TIGHT)
    await started.start()
    yield started
    await started.aclose()


def _type(name: str) -> str:
    return CONTENT_TYPES[name.rpartition(".")[2]]


async def _code(pool: DecoderPool, file: int, content_type: str) -> str:
    with pytest.raises(DecodeRejected) as rejected:
        await probe_image(pool, file, content_type)
    return rejected.value.code


@pytest.mark.parametrize(
    ("name", "mode", "depth", "alpha", "frames"),
    [
        ("plain.jpg", "RGB", 8, False, 1),
        ("progressive.jpg", "RGB", 8, False, 1),
        ("cmyk.jpg", "CMYK", 8, False, 1),
        ("plain.png", "RGBA", 8, True, 1),
        ("grey16.png", "I;16", 16, False, 1),
        ("palette.png", "P", 8, False, 1),
        ("moving.png", "RGB", 8, False, 5),
        ("still.gif", "P", 8, False, 1),
        ("moving.gif", "P", 8, False, 5),
        ("plain.webp", "RGB", 8, False, 1),
        ("alpha.webp", "RGBA", 8, True, 1),
        ("moving.webp", "RGBA", 8, True, 5),
        ("plain.heic", "RGB", 8, False, 1),
        ("plain.avif", "RGB", None, False, 1),
        ("plain.tif", "RGB", 8, False, 1),
        ("pages.tif", "RGB", 8, False, 5),
        ("plain.bmp", "RGB", None, False, 1),
    ],
)
async def test_a_good_image_is_described(
    pool: DecoderPool, file_of: Make, name: str, mode: str, depth: int | None, alpha: bool, frames: int
) -> None:
    """Size, pixel layout and frames come out of every format."""
    found = await probe_image(pool, file_of(images.image(name)), _type(name))
    assert (found.width, found.height, found.orientation, found.icc) == (*images.SIZE, 1, None)
    assert (found.mode, found.bit_depth, found.alpha, found.frames) == (mode, depth, alpha, frames)
    assert found.animated == name.startswith("moving")
    assert found.duration_seconds == (0.5 if found.animated else None)


async def test_orientation_and_profile(pool: DecoderPool, file_of: Make) -> None:
    """Sides are as displayed; the profile has its name and size."""
    found = await probe_image(pool, file_of(images.image("turned.jpg")), "image/jpeg")
    assert (found.orientation, found.width, found.height) == (6, *images.SIZE[::-1])
    assert found.icc
    assert (found.icc.description, found.icc.size > 100) == ("sRGB built-in", True)


@pytest.mark.parametrize("made", ["JPEG", "PNG", "WEBP", "TIFF"])
async def test_what_xmp_says_of_orientation_turns_nothing(pool: DecoderPool, file_of: Make, made: str) -> None:
    """It is left behind by programs that turn a picture's pixels and know of EXIF alone; no browser asks it."""
    said = XMP % b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"'
    note, out = PngInfo(), io.BytesIO()
    note.add_itxt("XML:com.adobe.xmp", said.decode())
    more: dict[str, Any] = {"PNG": {"pnginfo": note}, "TIFF": {"tiffinfo": {700: said}}}.get(made, {"xmp": said})
    Image.new("RGB", (30, 20), "red").save(out, made, **more)
    assert b'Orientation="6"' in out.getvalue()
    found = await probe_image(pool, file_of(out.getvalue()), f"image/{made.lower()}")
    assert (found.orientation, found.width, found.height) == (1, 30, 20)


@pytest.mark.parametrize("name", images.NAMES)
async def test_an_image_cut_short_is_refused(pool: DecoderPool, file_of: Make, name: str) -> None:
    """Wherever the upload stopped, the picture isn't filled up with grey."""
    whole = images.image(name)
    for keep in (0, 1, 20, len(whole) // 2, len(whole) - 60):
        assert await _code(pool, file_of(whole[:keep]), _type(name)) in {"truncated", "corrupt"}


async def test_a_hole_in_a_png_is_corrupt(pool: DecoderPool, file_of: Make) -> None:
    """Both ends may be there: what was packed doesn't unpack."""
    whole = images.image("plain.png")
    holed = whole[:2000] + bytes(50) + whole[2050:]
    assert await _code(pool, file_of(holed), "image/png") == "corrupt"


@pytest.mark.parametrize("content_type", [each for each in TYPES if each.startswith("image/")])
async def test_only_the_identified_format_is_tried(pool: DecoderPool, file_of: Make, content_type: str) -> None:
    """No image is opened as another one, nor as one of the many formats that nobody asked for."""
    netpbm = b"P6 1 1 255 abc"
    assert await _code(pool, file_of(netpbm), content_type) in {"corrupt", "truncated"}
    other = "plain.png" if content_type != "image/png" else "plain.jpg"
    assert await _code(pool, file_of(images.image(other)), content_type) in {"corrupt", "truncated"}


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (images.png(60_000, 60_000, pixels=b"0"), "image/png"),
        (images.claiming(images.image("plain.jpg"), 65_000, 65_000), "image/jpeg"),
        (images.saved(Image.new("1", (10_001, 10_001)), "PNG"), "image/png"),
        (images.saved(Image.new("P", (10_001, 10_001)), "GIF"), "image/gif"),
        (images.saved(Image.new("1", (10_001, 10_001)), "TIFF", compression="group4"), "image/tiff"),
        (images.saved(Image.new("RGB", (10_001, 10_001)), "WEBP", lossless=True, quality=0, method=0), "image/webp"),
    ],
    ids=["png claim", "jpeg claim", "png", "gif", "tiff", "webp"],
)  # fmt: skip
async def test_a_pixel_bomb_is_not_decoded(pool: DecoderPool, file_of: Make, content: bytes, content_type: str) -> None:
    """A small file that claims, or has, more pixels than there may be costs no memory and no time."""
    assert len(content) < 1_000_000
    before = time.monotonic()
    assert await _code(pool, file_of(content), content_type) == "too_many_pixels"
    assert time.monotonic() - before < 5
    assert max(_peak_mib(pid) for pid in pool.pids) < 120


async def test_a_large_progressive_jpeg_is_no_damaged_one(pool: DecoderPool, file_of: Make) -> None:
    """Where decoding it would take more memory than there is, that is what is said, before it is tried."""
    small = images.saved(Image.new("RGB", (64, 64)), "JPEG", progressive=True, subsampling="4:4:4")
    assert await _code(pool, file_of(images.claiming(small, 9_700, 9_700)), "image/jpeg") == "decode_memory"
    assert max(_peak_mib(pid) for pid in pool.pids) < 120


async def test_a_large_webp_is_no_damaged_one(pool: DecoderPool, file_of: Make) -> None:
    """A still one is decoded whole in little memory; of an animation that would take too much that is what is said."""
    exif = Image.Exif()
    exif[0x0112] = 6
    still = images.saved(Image.new("RGBA", (7_000, 6_000), "#80302080"), "WEBP", lossless=True, method=0, exif=exif)
    found = await probe_image(pool, file_of(still), "image/webp")
    assert (found.width, found.height, found.orientation, found.mode) == (6_000, 7_000, 6, "RGBA")
    damaged = still.replace(b"VP8L", b"VP8 ", 1)
    assert await _code(pool, file_of(damaged), "image/webp") == "corrupt"
    small = images.animation("WEBP", 2)
    moving = small[:24] + (9_899).to_bytes(3, "little") * 2 + small[30:]
    assert await _code(pool, file_of(moving), "image/webp") == "decode_memory"


def _peak_mib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 -- two lines shorter
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("name", ["moving.gif", "moving.png", "moving.webp", "pages.tif"])
async def test_frames_have_a_budget(tight: DecoderPool, file_of: Make, name: str) -> None:
    """Of frames and of all their pixels together: exactly as many are fine."""
    made = {"gif": "GIF", "png": "PNG", "webp": "WEBP", "tif": "TIFF"}[name.rpartition(".")[2]]
    content_type = _type(name)
    fine = await probe_image(tight, file_of(images.animation(made, 5, (60, 100))), content_type)
    assert fine.frames == 5
    assert await _code(tight, file_of(images.animation(made, 6, (10, 10))), content_type) == "too_many_frames"
    assert await _code(tight, file_of(images.animation(made, 4, (80, 100))), content_type) == "too_many_frames"
    assert await _code(tight, file_of(images.animation(made, 2, (102, 100))), content_type) == "too_many_pixels"


@pytest.mark.parametrize(
    "content",
    [images.text_bomb(200_000_000), images.profile_bomb(200_000_000), images.many_chunks(MOST_CHUNKS + 1)],
    ids=["text", "profile", "chunks"],
)
async def test_a_png_of_bombs_is_refused(pool: DecoderPool, file_of: Make, content: bytes) -> None:
    """Comments and profiles that unpack without end, and chunks without end."""
    assert await _code(pool, file_of(content), "image/png") == "bomb"
    assert max(_peak_mib(pid) for pid in pool.pids) < 120


async def test_a_commented_png_is_fine(pool: DecoderPool, file_of: Make) -> None:
    """Comments as such are no bomb."""
    assert (await probe_image(pool, file_of(images.commented_png()), "image/png")).frames == 1


async def test_as_many_pixels_as_allowed_are_decoded(pool: DecoderPool, file_of: Make) -> None:
    """The memory limit has room for the largest picture that the budget accepts."""
    largest = images.saved(Image.new("RGB", (10_000, 10_000)), "PNG", compress_level=1)
    found = await probe_image(pool, file_of(largest), "image/png")
    assert found.width * found.height == Settings().max_image_pixels


async def test_neighbours_of_bombs_are_unharmed(pool: DecoderPool, file_of: Make) -> None:
    """Good files beside them are probed as ever."""
    bombs = [file_of(images.text_bomb(200_000_000)), file_of(images.png(60_000, 60_000, pixels=b"0"))]
    good = file_of(images.image("plain.jpg"))
    jobs: list[Any] = []
    for _ in range(10):
        jobs += [_code(pool, bomb, "image/png") for bomb in bombs]
        jobs += [probe_image(pool, good, "image/jpeg"), probe_text(pool, file_of(b"text"))]
    ended = await asyncio.gather(*jobs)
    assert {ended[at] for at in range(0, 40, 4)} == {"bomb"}
    assert {ended[at].width for at in range(2, 40, 4)} == {images.SIZE[0]}


@pytest.mark.parametrize("name", ["plain.jpg", "progressive.jpg", "cmyk.jpg"])
async def test_an_eighth_of_the_lines_is_as_strict(name: str) -> None:
    """What is cut short or damaged is found at an eighth of the size where it is at full size, and nowhere else."""
    whole, chance = images.image(name), random.Random(3)
    for _ in range(300):
        body = bytearray(whole[: chance.randrange(200, len(whole))] if chance.random() < 0.5 else whole)
        for _ in range(chance.randrange(3)):
            body[chance.randrange(2, len(body))] = chance.randrange(256)
        assert _fault(bytes(body), shrunk=True) == _fault(bytes(body), shrunk=False)


def _fault(body: bytes, *, shrunk: bool) -> str:
    try:
        with Image.open(io.BytesIO(body), formats=("JPEG",)) as image:
            if shrunk:
                image.draft(None, (1, 1))
            image.load()
    except Exception as error:  # noqa: BLE001 -- whatever it says
        return f"{type(error).__name__}: {error}"
    return ""
