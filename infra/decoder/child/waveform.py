"""Draw a waveform. Here for Pillow's sake, which no other process loads; the peaks are our own."""

from array import array
from typing import Any

from PIL import Image, ImageDraw

from .output import Output
from .saving import saved

FINER = 4  # rows of the drawing to one of the picture: a peak ends between two rows more often than not
_LOSSLESS = 100


def draw(_file: int, args: dict[str, Any], inline: bytes, output: Output) -> dict[str, Any]:
    """Draw a line for each column, from its lowest to its highest value; silence is a thin one.

    Args:
        args: `height` in pixels, `color` and `background` as `#rrggbb` or `#rrggbbaa`, `coding`: `webp` or `png`.
        inline: For each column two signed bytes.
        output: Takes the picture.

    Returns:
        `width`, `height`, `files`.
    """
    pairs = array("b", inline)
    width, height = len(pairs) // 2, args["height"]
    rows = height * FINER
    mask = Image.new("L", (width, rows))
    drawing = ImageDraw.Draw(mask)
    for column in range(width):
        low, high = pairs[2 * column : 2 * column + 2]
        top, bottom = _row(high, rows), _row(low, rows)
        drawing.line((column, min(top, rows // 2 - FINER // 2), column, max(bottom, rows // 2 + FINER // 2 - 1)), 255)
    wave = Image.new("RGBA", (width, height), args["color"])
    wave.putalpha(Image.composite(wave.getchannel("A"), Image.new("L", wave.size), mask.reduce((1, FINER))))
    picture = Image.alpha_composite(Image.new("RGBA", wave.size, args["background"]), wave)
    files = [output.write(saved(picture, args["coding"], _LOSSLESS))]
    return {"width": width, "height": height, "files": files}


def _row(value: int, rows: int) -> int:
    """Where -128 to 127 lie, the highest on top."""
    return round((127 - value) * (rows - 1) / 255)
