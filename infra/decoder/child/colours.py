"""From whatever colours a picture is meant in to sRGB with 8 bits a channel, which browsers take for granted."""

import contextlib
from typing import Any

from .vips import pyvips

PROFILE = "icc-profile-data"
# A stranger's profile that leaves a lattice of the cube as it is is sRGB's own, whatever it calls itself: most photos
# have one, and nothing needs to be computed for each of their pixels.
_LATTICE = bytes(level for red in range(5) for green in range(5) for blue in range(5) for level in (red, green, blue))
_SAME = 1


def in_srgb(image: Any) -> Any:
    """The same picture in sRGB, transparency kept.

    A profile that can't be read, or is for other pixels, counts as none: grey and RGB are sRGB's then, and CMYK is that
    of common coated paper.

    Raises:
        pyvips.Error: Its pixels are of no known colours.
    """
    if image.get_typeof(PROFILE):
        with contextlib.suppress(pyvips.Error):
            if not _is_srgb(image):
                return _transformed(image).copy_memory()
        image = image.copy()
        image.remove(PROFILE)
    if (image.interpretation, image.format) == ("srgb", "uchar"):
        return image  # to be told so by libvips would cost a copy
    # Of 32 bits a channel, as a TIFF may have, libvips leaves it at that many.
    return image.colourspace("srgb").cast("uchar")


def _transformed(image: Any) -> Any:
    return image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True, depth=8)


def _is_srgb(image: Any) -> bool:
    if image.interpretation not in {"srgb", "rgb16"}:
        return False
    lattice = pyvips.Image.new_from_memory(bytes(64 * level - (level == 4) for level in _LATTICE), 125, 1, 3, "uchar")  # noqa: PLR2004
    lattice = lattice.copy(interpretation="srgb")
    lattice.set_type(pyvips.GValue.blob_type, PROFILE, image.get(PROFILE))
    return (_transformed(lattice) - lattice).abs().max() <= _SAME
