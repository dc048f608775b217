"""Images that Pillow makes: good ones of every format, bombs, and a photo's worth of pixels."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import pillow_heif
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType] -- untyped keywords

_EXIF = Image.Exif()
_EXIF[0x0112] = 6  # turned a quarter clockwise, as a phone held upright writes it
_SRGB: Any = ImageCms.createProfile("sRGB")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] -- untyped
_ICC = ImageCms.ImageCmsProfile(_SRGB).tobytes()

# Name (its extension is the format) to Pillow's format, the mode and the options of saving.
_RECIPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "plain.jpg": ("JPEG", "RGB", {"quality": 80}),
    "turned.jpg": ("JPEG", "RGB", {"exif": _EXIF, "icc_profile": _ICC}),
    "progressive.jpg": ("JPEG", "RGB", {"progressive": True}),
    "cmyk.jpg": ("JPEG", "CMYK", {}),
    "plain.png": ("PNG", "RGBA", {}),
    "grey16.png": ("PNG", "I;16", {}),
    "palette.png": ("PNG", "P", {}),
    "still.gif": ("GIF", "P", {}),
    "plain.webp": ("WEBP", "RGB", {}),
    "alpha.webp": ("WEBP", "RGBA", {"lossless": True}),
    "plain.heic": ("HEIF", "RGB", {}),
    "plain.avif": ("AVIF", "RGB", {"speed": 10}),
    "plain.tif": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "plain.bmp": ("BMP", "RGB", {}),
}
_ANIMATED = {"moving.gif": "GIF", "moving.png": "PNG", "moving.webp": "WEBP", "pages.tif": "TIFF"}
NAMES = (*_RECIPES, *_ANIMATED)
SIZE = (120, 80)


@cache
def image(name: str) -> bytes:
    """A good image by its name, `SIZE` large."""
    if name in _ANIMATED:
        return animation(_ANIMATED[name], 5)
    made, mode, options = _RECIPES[name]
    return saved(picture(*SIZE, mode), made, **options)


def real(name: str) -> bytes:
    """A photograph's bytes: see `photos/README.md`."""
    return (Path(__file__).with_name("photos") / f"{name}.jpg").read_bytes()


PHOTOS = ("rocket", "grace_hopper", "astronaut", "chelsea", "coffee", "camera")


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Something with shapes and colours, so that decoders have work to do."""
    grey = Image.effect_mandelbrot((width, height), (-2, -1.5, 1, 1.5), 60)
    if mode == "I;16":
        return Image.frombytes("I;16", (width, height), b"".join(bytes((value, value)) for value in grey.tobytes()))
    bands = (grey, grey.rotate(180), grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    return Image.merge(mode, (*bands, grey)) if mode == "RGBA" else Image.merge("RGB", bands).convert(mode)


def saved(image: Image.Image, made: str, **options: Any) -> bytes:
    """The file's bytes."""
    out = io.BytesIO()
    image.save(out, made, **options)
    return out.getvalue()


def animation(made: str, frames: int, size: tuple[int, int] = SIZE) -> bytes:
    """Frames that differ, a tenth of a second each."""
    first = picture(*size)
    others = [first.rotate(360 * number / frames) for number in range(1, frames)]
    timed = {} if made == "TIFF" else {"duration": 100, "loop": 0}
    return saved(first, made, save_all=True, append_images=others, **timed)


@cache
def photo() -> bytes:
    """12 megapixels of JPEG, as large as a phone's."""
    tile = picture(1000, 750)
    whole = Image.new("RGB", (4000, 3000))
    for x in range(0, 4000, 1000):
        for y in range(0, 3000, 750):
            whole.paste(tile.rotate(x // 100 + y // 75), (x, y))
    return saved(whole, "JPEG", quality=85)


def chunk(name: bytes, data: bytes = b"") -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *between: bytes, pixels: bytes = b"") -> bytes:
    """A PNG that claims a size, with any chunks between its head and its end."""
    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels or bytes(width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(between) + body + chunk(b"IEND")


def text_bomb(unpacked: int) -> bytes:
    """A PNG whose comment unpacks to so many bytes."""
    return png(1, 1, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(unpacked), 9)))


def profile_bomb(unpacked: int) -> bytes:
    """A PNG whose colour profile unpacks to so many bytes."""
    return png(1, 1, chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(unpacked), 9)))


def many_chunks(count: int) -> bytes:
    """A PNG of very many comments."""
    return png(1, 1, chunk(b"tEXt", b"a\0b") * count)


def claiming(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG with another size in its frame header."""
    at = next(jpeg.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in jpeg) + 5
    return jpeg[:at] + struct.pack(">2H", height, width) + jpeg[at + 4 :]


def commented_png() -> bytes:
    """A good PNG with a comment."""
    info = PngInfo()
    info.add_text("Title", "harbour", zip=True)
    return saved(picture(*SIZE), "PNG", pnginfo=info)
