"""What a picture looks like in a few bytes: a placeholder, its dominant colour, and a hash that its likes share.

Placeholder: ThumbHash, https://evanw.github.io/thumbhash/. Perceptual hash: pHash, C. Zauner, "Implementation and
Benchmarking of Perceptual Image Hash Functions" (2010), chapter 3.2.1, with the corner of the transform that
https://github.com/JohannesBuchner/imagehash uses: crops move its bits the least.
"""

import base64
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

import thash

from .pixels import Wanted, resized, still
from .rejected import Rejected
from .vips import pyvips

_ENOUGH = 128
"""The longer side that is decoded: four pixels for each that is looked at."""
_SIDE = 32
"""Of what is looked at: ThumbHash keeps no wave shorter than a seventh of a side, the hash none than a quarter."""
_KEPT = 8
_WAVES = [[math.cos(math.pi / _SIDE * wave * (at + 0.5)) for at in range(_SIDE)] for wave in range(_KEPT)]
_BIN = 32
_WHITE = 255


def describe(file: int, args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Describe a picture, or the first of several.

    Args:
        file: Descriptor of the picture.
        args: `format`, `orientation`, `width` and `height` as stored.

    Returns:
        What `schemas.renditions.ImageDescription` has, but its type.

    Raises:
        Rejected: `corrupt`: libvips can make nothing of it.
    """
    try:
        image = still(file, Wanted(args["format"], args["orientation"], args["width"], args["height"], _ENOUGH))
        image = image if image.hasalpha() else image.bandjoin(_WHITE)
        scale = min(1.0, _SIDE / max(image.width, image.height))
        width, height = (max(1, round(side * scale)) for side in (image.width, image.height))
        shape = bytes(resized(image, width, height).write_to_memory())
        square = bytes(resized(image.flatten(background=[_WHITE] * 3), _SIDE, _SIDE).write_to_memory())
    except pyvips.Error as error:
        raise Rejected("corrupt", "the picture can't be rendered") from error
    placeholder = bytes(thash.rgba_to_thumb_hash(width, height, list(shape)))
    return {
        "thumbhash": base64.b64encode(placeholder).decode(),
        "color": dominant_colour(shape),
        "perceptual_hash": f"{perceptual_hash(square):016x}",
    }


def dominant_colour(rgba: bytes) -> str:
    """The mean of the fullest of 512 boxes of the colour cube, as `#rrggbb`; what is transparent weighs nothing."""
    boxes: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for at in range(0, len(rgba), 4):
        red, green, blue, weight = rgba[at : at + 4]
        box = boxes[red // _BIN, green // _BIN, blue // _BIN]
        for band, level in enumerate((red, green, blue)):
            box[band] += level * weight
        box[3] += weight
    *colour, weight = max(boxes.values(), key=lambda box: box[3])
    return "#" + "".join(f"{round(band / weight) if weight else _WHITE:02x}" for band in colour)


def perceptual_hash(rgb: bytes) -> int:
    """64 bits: which of a square's 64 longest waves (DCT-II of its luma) are stronger than the median one."""
    luma = [299 * rgb[at] + 587 * rgb[at + 1] + 114 * rgb[at + 2] for at in range(0, len(rgb), 3)]
    rows = [_transformed(luma[at : at + _SIDE]) for at in range(0, len(luma), _SIDE)]
    waves = [strength for column in zip(*rows, strict=True) for strength in _transformed(column)]
    middle = median(waves)
    return sum((strength > middle) << number for number, strength in enumerate(waves))


def _transformed(line: Sequence[float]) -> list[float]:
    return [sum(level * at for level, at in zip(line, wave, strict=True)) for wave in _WAVES]
