"""Render a cover anew: whatever a stranger attached to a sound, only its pixels are handed on."""

import contextlib
from io import BytesIO
from typing import Any, BinaryIO

from PIL import Image, ImageCms, ImageOps

from .image import refusal
from .output import Output
from .rejected import Rejected
from .saving import fitted, saved

_SRGB = ImageCms.ImageCmsProfile(
    ImageCms.createProfile("sRGB")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] -- any colour space
)
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")


def render(file: int, args: dict[str, Any], _inline: bytes, output: Output) -> dict[str, Any]:
    """Decode the first frame, turn it upright, bring it to sRGB, make it smaller where it is too large.

    Args:
        file: Descriptor of the picture, of whatever type.
        args: `max_pixels`; `longest` side in pixels; `quality`; `codings`: `webp`, `jpeg`.
        output: Takes a file for each coding.

    Returns:
        `width`, `height`, `files`.

    Raises:
        Rejected: `corrupt`, `truncated`, `too_many_pixels`, `bomb`.
    """
    try:
        with open(file, "rb", closefd=False) as stream:
            picture = _decoded(stream, args)
    except (Rejected, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(args) from error
    except Exception as error:
        raise refusal(error) from error
    files = [output.write(saved(picture, coding, args["quality"])) for coding in args["codings"]]
    return {"width": picture.width, "height": picture.height, "files": files}


def _decoded(stream: BinaryIO, args: dict[str, Any]) -> Image.Image:
    longest: int = args["longest"]
    Image.MAX_IMAGE_PIXELS = args["max_pixels"]
    with Image.open(stream, formats=_FORMATS) as picture:
        if picture.width * picture.height > args["max_pixels"]:
            raise _too_large(args)
        picture.draft("RGB", (longest, longest))  # of a JPEG, as small as it can be decoded
        upright = _upright(picture)
    return upright.resize(fitted(upright.size, longest), Image.Resampling.LANCZOS)  # pyright: ignore[reportUnknownMemberType] -- NumPy's types


def _too_large(args: dict[str, Any]) -> Rejected:
    return Rejected("too_many_pixels", f"at most {args['max_pixels']:,} are accepted")


def _upright(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    turned = ImageOps.exif_transpose(picture)
    mode = "RGBA" if turned.has_transparency_data else "RGB"
    if profile and turned.mode in {"RGB", "CMYK", "L"}:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):  # one that nobody can read means nothing
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(turned, source, _SRGB, outputMode="RGB")
            assert converted is not None
            return converted
    return turned.convert(mode)
