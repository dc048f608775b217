"""Pictures of pictures: turned, in their colours, no larger than they were, and without a word of metadata."""

import io
import math
import os
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
import pytest_asyncio
import pyvips
from PIL import Image, ImageChops, ImageCms, ImageStat
from PIL.PngImagePlugin import PngInfo

from infra.decoder import DecoderPool, Output, describe_image, probe_image, render_sizes, unnamed_file
from infra.settings import Settings
from schemas.profiles import ImageFormat, ImageProfile, Variant
from tests.samples import images
from tests.samples.clean.images import XMP

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = {
    "JPEG": "jpeg",
    "PNG": "png",
    "GIF": "gif",
    "WEBP": "webp",
    "HEIF": "heic",
    "AVIF": "avif",
    "TIFF": "tiff",
    "BMP": "bmp",
}
EVERY: tuple[ImageFormat, ...] = ("webp", "jpeg", "avif")
SRGB: Any = cast("Any", ImageCms).createProfile("sRGB")
WHOLE = Variant(name="whole", longest=2048)
RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 200, 30), (30, 40, 220), (255, 255, 255)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """One sandboxed child."""
    started = DecoderPool(Settings(decoder_processes=1))
    await started.start()
    yield started
    await started.aclose()


def encoded(image: Image.Image, made: str, **options: Any) -> bytes:
    """A file of a picture."""
    out = io.BytesIO()
    image.save(out, made, **options)
    return out.getvalue()


async def rendered(
    pool: DecoderPool,
    body: bytes,
    made: str,
    *variants: Variant,
    formats: tuple[ImageFormat, ...] = ("jpeg",),
    **more: Any,
) -> dict[str, bytes]:
    """The files by `variant.format`, after probing as on a file's way in."""
    profile = ImageProfile(variants=variants or (WHOLE,), formats=formats, jpeg_quality=92, webp_quality=92, **more)
    file = unnamed_file()
    try:
        with open(file, "wb", closefd=False) as spool:  # noqa: ASYNC230
            spool.write(body)
        probe = await probe_image(pool, file, f"image/{TYPES[made]}")
        with Output() as output:
            sizes = await render_sizes(pool, file, probe, profile, output)
            found = {f"{each.variant}.{each.format}": output.read(each.written) for each in sizes}
    finally:
        os.close(file)
    for each in sizes:
        with Image.open(io.BytesIO(found[f"{each.variant}.{each.format}"])) as image:
            assert (image.size, getattr(image, "n_frames", 1)) == ((each.width, each.height), each.frames)
    return found


def opened(body: bytes) -> Image.Image:
    """A rendition's pixels."""
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def quarters(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours in the middle of its quarters: upper left, upper right, lower left, lower right."""
    width, height = image.size
    middles = [(width * x // 4, height * y // 4) for y in (1, 3) for x in (1, 3)]
    found = [image.convert("RGB").getpixel(middle) for middle in middles]
    return [colour for colour in found if isinstance(colour, tuple)]


def four(
    size: tuple[int, int] = (96, 64), mode: str = "RGB", colours: Sequence[Any] = (RED, GREEN, BLUE, WHITE)
) -> Image.Image:
    """A picture of four colours."""
    image = Image.new(mode, size)
    width, height = size[0] // 2, size[1] // 2
    for number, colour in enumerate(colours):
        image.paste(
            colour, (number % 2 * width, number // 2 * height, (number % 2 + 1) * width, (number // 2 + 1) * height)
        )
    return image


def near(found: Sequence[Sequence[int]], expected: Sequence[Sequence[int]], tolerance: int = 12) -> bool:
    """Whether colours are the same but for what coding costs."""
    return all(
        abs(one - other) <= tolerance
        for a, b in zip(found, expected, strict=True)
        for one, other in zip(a, b, strict=True)
    )


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Mean structural similarity of two pictures' luma in windows of 8 pixels (Z. Wang et al., 2004)."""
    width, height = one.size
    values: list[float] = []
    for left in range(0, width - 7, 8):
        for top in range(0, height - 7, 8):
            box = (left, top, left + 8, top + 8)
            a, b = (list(each.convert("L").crop(box).tobytes()) for each in (one, other))
            ma, mb = sum(a) / 64, sum(b) / 64
            va, vb = sum(x * x for x in a) / 64 - ma * ma, sum(x * x for x in b) / 64 - mb * mb
            cov = sum(x * y for x, y in zip(a, b, strict=True)) / 64 - ma * mb
            values.append((2 * ma * mb + 6.5) * (2 * cov + 58.5) / ((ma * ma + mb * mb + 6.5) * (va + vb + 58.5)))
    return sum(values) / len(values)


@pytest.mark.parametrize("made", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_orientation(pool: DecoderPool, made: str, orientation: int) -> None:
    """Each of the eight ways to hold a camera ends upright, pixel for pixel, and says nothing of it any more."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = four()
    stored: Image.Image = upright
    turns = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}
    for turn in turns.get(orientation, []):
        stored = upright.transpose(Image.Transpose(turn))
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if made == "JPEG" else {}
    found = opened((await rendered(pool, encoded(stored, made, exif=exif, **options), made))["whole.jpeg"])
    assert found.size == upright.size
    assert near(quarters(found), [RED, GREEN, BLUE, WHITE])
    assert not found.getexif()


def _profile(name: str) -> bytes:
    profile: Any = pyvips.Operation.call("profile_load", name)
    return bytes(profile)


async def test_display_p3_becomes_srgb(pool: DecoderPool) -> None:
    """A colour in Display P3 is the same colour in sRGB, as the colour engine of another library has it."""
    p3 = _profile("p3")
    wide = four(colours=((200, 80, 60), (90, 180, 100), (80, 90, 200), (240, 240, 240)))
    expected = ImageCms.profileToProfile(wide, ImageCms.ImageCmsProfile(io.BytesIO(p3)), SRGB, outputMode="RGB")
    assert expected is not None
    assert not near(quarters(wide), quarters(expected), 8)
    for made, options in (
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("HEIF", {"quality": 95}),
        ("WEBP", {"lossless": True}),
    ):
        body = encoded(wide, made, icc_profile=p3, **options)
        found = await rendered(pool, body, made, formats=EVERY)
        for each in found.values():
            assert near(quarters(opened(each)), quarters(expected)), made
            assert "icc_profile" not in opened(each).info


@pytest.mark.parametrize("profile", [b"no profile at all", b"\0" * 200, "cmyk", "srgb"])
async def test_a_profile_that_is_broken_or_for_other_pixels(pool: DecoderPool, profile: bytes | str) -> None:
    """It counts as none; sRGB's own changes nothing."""
    body = encoded(four(), "PNG", icc_profile=_profile(profile) if isinstance(profile, str) else profile)
    assert near(quarters(opened((await rendered(pool, body, "PNG"))["whole.jpeg"])), [RED, GREEN, BLUE, WHITE])


async def test_cmyk(pool: DecoderPool) -> None:
    """Ink on paper looks as it prints: with a profile and without, inverted as Photoshop has it in JPEGs."""
    inks = ((0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0), (0, 0, 0, 0))
    for made, options in (("JPEG", {"quality": 95}), ("TIFF", {})):
        for profile in (None, _profile("cmyk")):
            body = encoded(four(mode="CMYK", colours=inks), made, icc_profile=profile, **options)
            red, green, blue, white = quarters(opened((await rendered(pool, body, made))["whole.jpeg"]))
            assert red[0] > max(red[1:]) + 60
            assert green[1] > max(green[0], green[2]) + 60
            assert blue[2] > max(blue[:2]) + 40
            assert min(white) > 240


@pytest.mark.parametrize("made", ["PNG", "TIFF"])
async def test_sixteen_bits_of_grey(pool: DecoderPool, made: str) -> None:
    """The upper eight of them are what is seen."""
    levels = (0, 20_000, 40_000, 65_535)
    image = Image.frombytes("I;16", (96, 64), _sixteen(levels))
    found = quarters(opened((await rendered(pool, encoded(image, made), made))["whole.jpeg"]))
    assert near(found, [(level >> 8,) * 3 for level in levels], 4)


def _sixteen(levels: Sequence[int]) -> bytes:
    return b"".join(struct.pack("<H", levels[(y >= 32) * 2 + (x >= 48)]) for y in range(64) for x in range(96))


@pytest.mark.parametrize("mode", ["F", "I"])
async def test_thirty_two_bits_of_grey(pool: DecoderPool, mode: str) -> None:
    """A scientist's TIFF is rendered and described: a decoder must not die of describing it."""
    body = encoded(Image.new("L", (40, 30), 90).convert(mode), "TIFF")
    assert near(quarters(opened((await rendered(pool, body, "TIFF"))["whole.jpeg"])), [(90, 90, 90)] * 4, 2)
    file = unnamed_file()
    try:
        os.write(file, body)
        described = await describe_image(pool, file, await probe_image(pool, file, "image/tiff"))
    finally:
        os.close(file)
    assert described.color == "#5a5a5a"


async def test_sixteen_bits_a_channel(pool: DecoderPool) -> None:
    """A PNG as editors export it."""
    image: Any = pyvips.Image.new_from_memory(four().tobytes(), 96, 64, 3, "uchar").copy(interpretation="srgb")
    deep = (image.cast("ushort") * 257).cast("ushort").copy(interpretation="rgb16").pngsave_buffer()
    assert near(quarters(opened((await rendered(pool, deep, "PNG"))["whole.jpeg"])), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("mode", ["P", "L", "1", "LA"])
@pytest.mark.parametrize("made", ["PNG", "GIF", "TIFF", "BMP", "WEBP"])
async def test_few_colours(pool: DecoderPool, mode: str, made: str) -> None:
    """Palettes, grey, black and white."""
    if mode == "LA" and made in {"BMP", "GIF"}:
        return
    image = four().convert(mode)
    options = {"lossless": True} if made == "WEBP" else {}
    found = quarters(opened((await rendered(pool, encoded(image, made, **options), made))["whole.jpeg"]))
    assert near(found, quarters(image.convert("RGB")), 25 if mode == "1" else 14)


@pytest.mark.parametrize("made", ["PNG", "WEBP", "GIF", "AVIF", "TIFF"])
async def test_transparency(pool: DecoderPool, made: str) -> None:
    """It is kept where it can be, and white in a JPEG; what is transparent doesn't bleed into what isn't."""
    image = four(mode="RGBA", colours=((*RED, 255), (*GREEN, 0), (0, 0, 0, 0), (*BLUE, 255)))
    small = Variant(name="small", longest=48)
    found = {
        name: opened(body)
        for name, body in (await rendered(pool, encoded(image, made), made, WHOLE, small, formats=EVERY)).items()
    }
    for size in ("whole", "small"):
        for form in ("webp", "avif"):
            alphas = [pixel[0] for pixel in quarters(found[f"{size}.{form}"].convert("RGBA").getchannel("A"))]
            assert near([alphas], [[255, 0, 0, 255]], 6), (size, form)
        assert near(quarters(found[f"{size}.jpeg"]), [RED, WHITE, WHITE, BLUE], 16), size


@pytest.mark.parametrize("made", ["GIF", "PNG", "WEBP"])
async def test_animations_move(pool: DecoderPool, made: str) -> None:
    """In WebP with the frames, their times and the repeats of the original; in others the first frame stands still."""
    frames = [
        four(colours=colours)
        for colours in ((RED, GREEN, BLUE, WHITE), (GREEN, BLUE, WHITE, RED), (BLUE, WHITE, RED, GREEN))
    ]
    body = encoded(frames[0], made, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0)
    found = await rendered(pool, body, made, WHOLE, Variant(name="cut", longest=32, square=True), formats=EVERY)
    moving = opened(found["whole.webp"])
    assert moving.n_frames == 3  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    assert moving.info["loop"] == 0
    for number, (colours, milliseconds) in enumerate(zip(frames, (100, 200, 300), strict=True)):
        moving.seek(number)
        moving.load()
        assert near(quarters(moving), quarters(colours), 20)
        assert moving.info["duration"] == milliseconds
    for form in ("jpeg", "avif"):
        assert near(quarters(opened(found[f"whole.{form}"])), quarters(frames[0]))
    assert opened(found["cut.webp"]).n_frames == 3  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


@pytest.mark.parametrize("made", ["GIF", "PNG"])
async def test_what_is_transparent_around_what_moves(pool: DecoderPool, made: str) -> None:
    """It stays so though none of it is within a frame as it is coded: browsers showed black."""
    frames = [four(mode="RGBA", colours=((*colour, 255), *[(0, 0, 0, 0)] * 3)) for colour in (RED, BLUE)]
    body = encoded(frames[0], made, save_all=True, append_images=frames[1:], duration=100)
    moving = opened((await rendered(pool, body, made, formats=("webp",)))["whole.webp"])
    assert moving.mode == "RGBA"
    for number in range(2):
        moving.seek(number)
        alphas = [pixel[0] for pixel in quarters(moving.convert("RGBA").getchannel("A"))]
        assert alphas == [255, 0, 0, 0], number


async def test_a_frame_that_reaches_beyond_its_animation(pool: DecoderPool) -> None:
    """As in browsers, it is cut off: to Pillow the picture grew, and seemed to be a bomb."""
    first, second = four(), Image.new("RGB", four().size, GREEN)
    body = encoded(first, "GIF", save_all=True, append_images=[second], duration=100)
    whole = struct.pack("<BHHHH", 0x2C, 0, 0, *first.size)
    before, _, after = body.rpartition(whole)
    assert whole in before
    moved = before + struct.pack("<BHHHH", 0x2C, first.width // 2, 0, *first.size) + after
    moving = opened((await rendered(pool, moved, "GIF", formats=("webp",)))["whole.webp"])
    assert moving.size == first.size
    moving.seek(1)
    assert near(quarters(moving), [RED, GREEN, BLUE, GREEN], 20)


@pytest.mark.parametrize("made", ["WEBP", "PNG"])
async def test_an_animation_of_huge_frames_stands_still(pool: DecoderPool, made: str) -> None:
    """A file of 140 bytes may have frames of 25 megapixels: its first picture is shown, where memory ended before."""
    first, second = (Image.new("RGBA", (5000, 5000), (*colour, 128)) for colour in (RED, BLUE))
    body = encoded(first, made, save_all=True, append_images=[second], duration=100)
    found = opened((await rendered(pool, body, made, formats=("webp",)))["whole.webp"])
    assert (found.size, getattr(found, "n_frames", 1)) == ((2048, 2048), 1)


async def test_a_large_webp(pool: DecoderPool) -> None:
    """As many pixels as are let in are rendered, where memory ended before."""
    body = encoded(four((8000, 7000)), "WEBP", lossless=True, quality=0, method=0)
    found = opened((await rendered(pool, body, "WEBP"))["whole.jpeg"])
    assert found.size == (2048, 1792)
    assert near(quarters(found), [RED, GREEN, BLUE, WHITE])


async def test_an_animation_after_a_small_picture(pool: DecoderPool) -> None:
    """How many pixels the picture before had bounds nothing: the animation was taken for a bomb, and cost a decoder."""
    before = pool.pids
    moving, profile = images.animation("GIF", 3, (900, 900)), ImageProfile(variants=(WHOLE,), formats=("webp",))
    file = unnamed_file()
    try:
        with open(file, "wb", closefd=False) as spool:  # noqa: ASYNC230
            spool.write(moving)
        probe = await probe_image(pool, file, "image/gif")
        await rendered(pool, encoded(four(), "BMP"), "BMP")
        with Output() as output:
            sizes = await render_sizes(pool, file, probe, profile, output)
    finally:
        os.close(file)
    assert ([each.frames for each in sizes], pool.pids) == ([3], before)


@pytest.mark.parametrize("extra", [0, 2])
async def test_what_is_more_than_colours_in_a_tiff(pool: DecoderPool, extra: int) -> None:
    """A fourth channel is transparency only where the file says so: a mask, as Photoshop saves it, hides nothing."""
    image = four(mode="RGBA", colours=[(*colour, 0) for colour in (RED, GREEN, BLUE, WHITE)])
    body = encoded(image, "TIFF").replace(
        struct.pack("<HHIHH", 338, 3, 1, 2, 0), struct.pack("<HHIHH", 338, 3, 1, extra, 0)
    )
    found = opened((await rendered(pool, body, "TIFF"))["whole.jpeg"])
    assert near(quarters(found), [WHITE] * 4 if extra else [RED, GREEN, BLUE, WHITE])


async def test_an_animations_budget(pool: DecoderPool) -> None:
    """Of too many frames some are left out, it lasts as long as before; of no budget is left a picture."""
    body = images.animation("GIF", 12)
    moving = opened((await rendered(pool, body, "GIF", formats=("webp",), animation_frames=5))["whole.webp"])
    lasts = 0
    for number in range(getattr(moving, "n_frames", 1)):
        moving.seek(number)
        moving.load()
        lasts += moving.info["duration"]
    assert (getattr(moving, "n_frames", 1), lasts) == (4, 1200)
    pixels = 2 * images.SIZE[0] * images.SIZE[1]
    two = opened((await rendered(pool, body, "GIF", formats=("webp",), animation_pixels=pixels))["whole.webp"])
    assert getattr(two, "n_frames", 1) == 2
    still = opened((await rendered(pool, body, "GIF", formats=("webp",), animation_frames=1))["whole.webp"])
    assert getattr(still, "n_frames", 1) == 1


SECRET = b"N52.5163E13.3777"


def _with_gps(made: str) -> bytes:
    """A picture that says where it was taken in every way that its format has."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    gps = exif.get_ifd(0x8825)
    gps.update({1: "N", 2: (52.0, 30.0, 58.7), 3: "E", 4: (13.0, 22.0, 39.7), 29: SECRET.decode()})
    options: dict[str, Any] = {"exif": exif}
    xmp = XMP % (b' exif:GPSLatitude="' + SECRET + b'"')
    match made:
        case "PNG":
            info = PngInfo()
            info.add_text("Location", SECRET.decode())
            info.add_itxt("XML:com.adobe.xmp", xmp.decode())
            options["pnginfo"] = info
        case "JPEG":
            options |= {"xmp": xmp, "comment": SECRET}
        case "WEBP" | "AVIF" | "HEIF":
            options["xmp"] = xmp
        case "TIFF":
            options = {"exif": exif, "description": SECRET.decode()}
        case _:
            options = {"comment": SECRET}
    body = encoded(images.picture(96, 64), made, **options)
    if made == "JPEG":  # IPTC, as Photoshop has it
        iptc = b"\x1c\x02\x5a" + struct.pack(">H", len(SECRET)) + SECRET
        block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
        body = body[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + body[2:]
    return body


@pytest.mark.parametrize("made", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF"])
async def test_nobody_learns_where_it_was_taken(pool: DecoderPool, made: str) -> None:
    """Neither the place nor any other word of EXIF, XMP, IPTC or comments is in any file."""
    body = _with_gps(made)
    assert SECRET in body
    found = await rendered(pool, body, made, WHOLE, Variant(name="cut", longest=32, square=True), formats=EVERY)
    for name, each in found.items():
        for word in (SECRET, b"Exif\0", b"GPS", b"xmpmeta", b"http", b"Photoshop", b"ICC_PROFILE", b"EXIF", b"XMP "):
            assert word not in each, (name, word)
        assert not opened(each).getexif()


def _in_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile is None:
        return image
    turned = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), SRGB)
    assert turned is not None
    return turned


@pytest.mark.parametrize("name", images.PHOTOS)
async def test_photos_look_the_same(pool: DecoderPool, name: str) -> None:
    """Against the source made as small by another library: nothing moved, no detail lost but what coding costs."""
    source: Any = _in_srgb(opened(images.real(name)).convert("RGB"))
    small = Variant(name="small", longest=200)
    found = await rendered(pool, images.real(name), "JPEG", WHOLE, small, formats=EVERY, avif_quality=80)
    for file, body in found.items():
        picture = opened(body).convert("RGB")
        expected = source if file.startswith("whole") else source.resize(picture.size, Image.Resampling.LANCZOS)
        assert picture.size == expected.size
        assert ssim(picture, expected) > 0.93, file
        assert max(ImageStat.Stat(ImageChops.difference(picture, expected)).mean) < 6, file


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (333, 77), (50, 50), (1201, 801)])
async def test_no_picture_grows(pool: DecoderPool, size: tuple[int, int]) -> None:
    """Sizes keep the shape and are never larger than the picture; a square is as large as its shorter side at most."""
    variants = (Variant(name="square", longest=150, square=True), Variant(name="small", longest=300), WHOLE)
    found = await rendered(pool, encoded(Image.new("RGB", size, RED), "PNG"), "PNG", *variants)
    sizes = {name: opened(body).size for name, body in found.items()}
    assert sizes["whole.jpeg"] == size
    side = min(150, *size)
    assert sizes["square.jpeg"] == (side, side)
    shrink = max(1.0, max(size) / 300)
    assert sizes["small.jpeg"] == tuple(max(1, round(each / shrink)) for each in size)
    assert all(near(quarters(opened(body)), [RED] * 4) for body in found.values() if min(opened(body).size) > 8)


async def test_the_square_is_where_something_is(pool: DecoderPool) -> None:
    """Of a wide picture with one thing at its end, the square shows the thing."""
    image = Image.new("RGB", (600, 150), (200, 200, 200))
    image.paste(four((100, 100)), (480, 25))
    found = opened(
        (await rendered(pool, encoded(image, "PNG"), "PNG", Variant(name="square", longest=150, square=True)))[
            "square.jpeg"
        ]
    )
    colours = found.convert("RGB").getcolors(1 << 20) or []
    seen = {
        max(range(3), key=lambda band: colour[band])
        for _, colour in colours
        if isinstance(colour, tuple) and max(colour) - min(colour) > 100
    }
    assert seen == {0, 1, 2}


async def test_every_sample_in_every_format(pool: DecoderPool) -> None:
    """Whatever camera, phone or browser made it, what was let in has its sizes."""
    types = {
        "jpg": "JPEG",
        "png": "PNG",
        "gif": "GIF",
        "webp": "WEBP",
        "heic": "HEIF",
        "avif": "AVIF",
        "tif": "TIFF",
        "bmp": "BMP",
    }
    for name in images.NAMES:
        found = await rendered(pool, images.image(name), types[name.rpartition(".")[2]], formats=EVERY)
        assert len(found) == 3
        whole = opened(found["whole.jpeg"])
        assert math.prod(whole.size) == math.prod(images.SIZE), name
