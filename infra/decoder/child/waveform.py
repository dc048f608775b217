"""Draw a waveform. Here for Pillow's sake, which no other process loads; the peaks are our own."""

from array import array
from typing import Any

from PIL import Image, ImageDraw

from .output import Output
from .saving import saved

FINER = 4  # rows of the drawing to one of the picture: a peak ends between two rows more often than not


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
    silence = height // 2 * FINER
    for column in range(width):
        low, high = pairs[2 * column : 2 * column + 2]
        # A level is so many 128ths of half of the height; a whole row in the middle is always there.
        top = min(round(rows / 2 * (1 - (high + (high > 0)) / 128)), silence)
        bottom = max(round(rows / 2 * (1 - low / 128)), silence + FINER)
        drawing.line((column, top, column, bottom - 1), 255)
    wave = Image.new("RGBA", (width, height), args["color"])
    wave.putalpha(Image.composite(wave.getchannel("A"), Image.new("L", wave.size), mask.reduce((1, FINER))))
    picture = Image.alpha_composite(Image.new("RGBA", wave.size, args["background"]), wave)
    files = [output.write(saved(picture, args["coding"], None))]
    return {"width": width, "height": height, "files": files}
