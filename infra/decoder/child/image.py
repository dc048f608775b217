"""Decode every pixel of an image with Pillow and say what it is. What is cut short or damaged is not repaired."""

import contextlib
import os
import re
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO

import pillow_heif
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from . import memory, whole
from .colours import PROFILE
from .rejected import Rejected
from .vips import pyvips

# Named for having registered: no other format of Pillow's many is ever tried.
_ = (BmpImagePlugin, GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
pillow_heif.register_heif_opener(  # pyright: ignore[reportUnknownMemberType] -- untyped keywords
    thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
Image.preinit()
# Pillow says by warning what it takes for a bomb, and what it repairs.
warnings.simplefilter("error", Image.DecompressionBombWarning)
ImageFile.LOAD_TRUNCATED_IMAGES = False

_Check = Callable[[BinaryIO, int], tuple[int, int] | None]
FORMATS: dict[str, tuple[tuple[str, ...], _Check | None]] = {
    "jpeg": (("JPEG", "MPO"), None),
    "png": (("PNG",), whole.png),
    "gif": (("GIF",), whole.gif),
    "webp": (("WEBP",), whole.webp),
    "heic": (("HEIF",), whole.boxes),
    "avif": (("AVIF",), whole.boxes),
    "tiff": (("TIFF",), None),
    "bmp": (("BMP",), None),
}
_ANIMATIONS = {"gif", "png", "webp", "avif"}
_ORIENTATION = 0x0112
# Pillow asks it where EXIF says nothing. No browser does: who turns a picture's pixels often leaves it as it was.
_XMP = ("xmp", "XML:com.adobe.xmp", "Raw profile type xmp")
_BITS_PER_SAMPLE = 258
_EIGHT_BITS = {"jpeg", "gif", "webp"}
_SWAPPED_FROM = 5
_PNG_DEPTH_AT = 24
# A progressive JPEG is held whole, two bytes for each coefficient, and rendering takes 80 MiB beside them.
_MOST_COEFFICIENT_BYTES = 512 * 1024 * 1024
# Pillow holds a WebP's canvas four times, 16 bytes a pixel, and libwebp says of memory that isn't there the same as of
# damage. libvips holds a still one once, and needs the frames of a moving one to be no smaller than it shrinks them.
_LARGE_WEBP = 16_000_000
_MOST_MOVING_WEBP = 28_000_000
_EIGHTH = 1 / 8


def probe(file: int, args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Decode all frames; only one is in memory at a time.

    Of a JPEG only the first picture counts: what may follow it (gain maps, previews) no browser shows.

    Args:
        file: Descriptor of the image.
        args: `format`; `max_pixels` of one frame, `max_frames`, `max_total_pixels` of all frames.

    Returns:
        What `schemas.probe.ImageProbe` has, but its type.

    Raises:
        Rejected: `truncated`, `corrupt`, `bomb`, `too_many_pixels`, `too_many_frames`, `decode_memory`.
    """
    try:
        with open(file, "rb", closefd=False) as stream:
            return _describe(stream, args)
    except (Rejected, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Rejected("too_many_pixels", f"at most {args['max_pixels']:,} are accepted") from error
    except Exception as error:
        raise refusal(error) from error


def _describe(stream: BinaryIO, args: dict[str, Any]) -> dict[str, Any]:
    formats, check = FORMATS[args["format"]]
    Image.MAX_IMAGE_PIXELS = args["max_pixels"]
    size = check(stream, os.fstat(stream.fileno()).st_size) if check else None
    if size:
        _require_pixels(size, args["max_pixels"])
    if args["format"] == "webp" and size and size[0] * size[1] > _LARGE_WEBP:
        memory.give_back()
        if not whole.moves(stream):
            return _describe_large_webp(stream, size)
        if size[0] * size[1] > _MOST_MOVING_WEBP:
            raise Rejected("decode_memory", f"moving, {size[0]:,} x {size[1]:,} pixels take too much memory to decode")
    stream.seek(0)
    with Image.open(stream, formats=formats) as image:
        first, mode = image.size, image.mode
        frames, milliseconds = _decode(image, args)
        if args["format"] == "heic":
            mode = image.mode
        orientation = _orientation(image)
        sides = first[::-1] if orientation >= _SWAPPED_FROM else first
        animated = args["format"] in _ANIMATIONS and frames > 1
        return {
            "format": args["format"],
            "width": sides[0],
            "height": sides[1],
            "orientation": orientation,
            "mode": mode,
            "bit_depth": _bit_depth(image, args["format"], stream),
            "alpha": image.has_transparency_data,
            "frames": frames,
            "animated": animated,
            "duration_seconds": milliseconds / 1000 if animated else None,
            "icc": _icc(image.info.get("icc_profile")),
        }


def _describe_large_webp(stream: BinaryIO, size: tuple[int, int]) -> dict[str, Any]:
    """A still one: every code of it is read, an eighth of the lines is computed."""
    stream.seek(0)
    source = pyvips.Source.new_from_descriptor(stream.fileno())
    image: Any = pyvips.Image.webpload_source(source, access="sequential", scale=_EIGHTH)
    image.copy_memory()
    exif = Image.Exif()
    with contextlib.suppress(Exception):  # EXIF that nobody can read turns nothing
        exif.load(image.get("exif-data"))
    orientation = _turn(exif)
    sides = size[::-1] if orientation >= _SWAPPED_FROM else size
    return {
        "format": "webp",
        "width": sides[0],
        "height": sides[1],
        "orientation": orientation,
        "mode": "RGBA" if image.hasalpha() else "RGB",
        "bit_depth": 8,
        "alpha": image.hasalpha(),
        "frames": 1,
        "animated": False,
        "duration_seconds": None,
        "icc": _icc(image.get(PROFILE) if image.get_typeof(PROFILE) else None),
    }


def _decode(image: ImageFile.ImageFile, args: dict[str, Any]) -> tuple[int, float]:
    """Decode frame by frame; how many there are, and how long they last together."""
    frames = 1 if args["format"] == "jpeg" else getattr(image, "n_frames", 1)
    if frames > args["max_frames"]:
        raise Rejected("too_many_frames", f"{frames:,} frames; at most {args['max_frames']:,} are accepted")
    pixels, milliseconds = 0, 0.0
    for number in range(frames):
        if frames > 1:
            image.seek(number)
        if args["format"] == "webp":
            _let_go(image)
        pixels += _require_pixels(image.size, args["max_pixels"])
        if pixels > args["max_total_pixels"]:
            raise Rejected("too_many_frames", f"all frames together have more than {args['max_total_pixels']:,} pixels")
        if args["format"] == "jpeg":
            _require_memory(image)
            # Every code of the file is read, and all that can be wrong is found, with an eighth of the lines computed:
            # in a third of the time and a fiftieth of the memory (libjpeg-turbo's jdhuff.c reads what it doesn't keep).
            image.draft(None, (1, 1))
        image.load()
        milliseconds += float(image.info.get("duration") or 0)
    return frames, milliseconds


def _let_go(image: Any) -> None:
    """Of a WebP's last frame, before the next one takes as much again."""
    image.im = None


def _require_pixels(size: tuple[int, int], most: int) -> int:
    width, height = size
    if width * height > most:
        raise Rejected("too_many_pixels", f"{width:,} x {height:,} pixels; at most {most:,} are accepted")
    return width * height


def _require_memory(image: Any) -> None:
    """Of memory that isn't there libjpeg says the same as of damage."""
    if not image.info.get("progressive"):
        return
    widest, highest = (max(layer[axis] for layer in image.layer) for axis in (1, 2))
    shares = (layer[1] * layer[2] / (widest * highest) for layer in image.layer)
    needed = int(2 * image.width * image.height * sum(shares))
    if needed > _MOST_COEFFICIENT_BYTES:
        raise Rejected("decode_memory", f"progressive, it takes {needed // 2**20} MiB to decode")


def _orientation(image: ImageFile.ImageFile) -> int:
    for name in _XMP:
        image.info.pop(name, None)
    with contextlib.suppress(Exception):  # EXIF that nobody can read turns nothing
        return _turn(image.getexif())
    return 1


def _turn(exif: Image.Exif) -> int:
    found = exif.get(_ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1  # noqa: PLR2004 -- the eight there are


def _bit_depth(image: ImageFile.ImageFile, name: str, stream: BinaryIO) -> int | None:
    if name in _EIGHT_BITS:
        return 8
    if name == "png":
        return os.pread(stream.fileno(), 1, _PNG_DEPTH_AT)[0]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        found: Any = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))  # pyright: ignore[reportUnknownMemberType] -- any tag
        return int(found[0])
    return image.info.get("bit_depth")


def _icc(profile: bytes | None) -> dict[str, Any] | None:
    if not profile:
        return None
    name = ""
    with contextlib.suppress(Exception):  # a profile that nobody can read is one without a name
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    return {"size": len(profile), "description": re.sub(r"[^ -~]+", "", name).strip()[:64] or None}


def refusal(error: Exception) -> Rejected:
    """The library's words decide what it is; they are not repeated, since they may quote the file."""
    words = str(error).lower()
    if "too large" in words or "text memory" in words:
        return Rejected("bomb", "a part of the file unpacks to far more than it should")
    if "truncated" in words or isinstance(error, EOFError):
        return Rejected("truncated", "the end of the picture is missing")
    return Rejected("corrupt", "the picture can't be decoded")
