"""`tidegate bench similar`: how many near-duplicates the perceptual hash finds, and how many strangers with them."""

import argparse
import io
import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import uvloop
from PIL import Image, ImageDraw, ImageEnhance
from rich.console import Console
from rich.table import Table

from cli.connect import configuration
from infra import logs
from infra.decoder import DecoderPool, describe_image, unnamed_file
from schemas.catalog import MOST_DIFFERENT, difference
from schemas.probe import ImageProbe

DISTINCT = 240
SIDE = 240
Change = Callable[[Image.Image], Image.Image]


def distinct(seed: int) -> Image.Image:
    """A picture like no other: a rough gradient, some shapes and grain."""
    chance = random.Random(seed)  # noqa: S311  a sample's
    small = Image.frombytes("RGB", (5, 5), chance.randbytes(75))
    picture = small.resize((SIDE * 4 // 3, SIDE) if seed % 2 else (SIDE, SIDE * 4 // 3), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for _ in range(chance.randrange(4, 16)):
        x, y, size = chance.randrange(picture.width), chance.randrange(picture.height), chance.randrange(10, 90)
        shape = draw.ellipse if chance.random() < 0.5 else draw.rectangle  # noqa: PLR2004
        shape((x, y, x + size, y + size * chance.random()), fill=tuple(chance.randbytes(3)))
    grain = Image.frombytes("L", picture.size, chance.randbytes(picture.width * picture.height)).convert("RGB")
    return Image.blend(picture, grain, 0.06)


def _again(made: str, quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        out = io.BytesIO()
        image.save(out, made, quality=quality)
        return Image.open(out)

    return change


def _smaller(share: float) -> Change:
    return lambda image: image.resize((round(image.width * share), round(image.height * share)))


def _brighter(factor: float) -> Change:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


def _cut(share: float) -> Change:
    def change(image: Image.Image) -> Image.Image:
        left, top = round(image.width * share / 2), round(image.height * share / 2)
        return image.crop((left, top, image.width - left, image.height - top))

    return change


CHANGES: dict[str, Change] = {
    "JPEG at quality 50": _again("JPEG", 50),
    "JPEG at quality 30": _again("JPEG", 30),
    "WebP at quality 60": _again("WEBP", 60),
    "half as large": _smaller(0.5),
    "a quarter as large": _smaller(0.25),
    "a tenth brighter": _brighter(1.1),
    "a tenth darker": _brighter(0.9),
    "5 % cut off": _cut(0.05),
    "10 % cut off": _cut(0.1),
}
"""What happens to a picture that is uploaded again. What is cut off is cut off evenly at all sides."""


async def measure(pictures: Sequence[Image.Image], changed: int) -> dict[str, Any]:
    """Recall of each change, and what else is found, by the hashes that decoders make.

    Args:
        pictures: All are distinct.
        changed: How many of them, the first ones, are uploaded again.
    """
    pool = DecoderPool(configuration())
    await pool.start()
    try:
        hashes = [await _hash(pool, picture) for picture in pictures]
        again = {
            name: [await _hash(pool, change(picture)) for picture in pictures[:changed]]
            for name, change in CHANGES.items()
        }
    finally:
        await pool.aclose()
    recall = {
        name: sum(difference(one, other) <= MOST_DIFFERENT for one, other in zip(hashes, each, strict=False)) / changed
        for name, each in again.items()
    }
    pairs = [(one, other) for at, one in enumerate(hashes) for other in hashes[:at]]
    strangers = sum(difference(one, other) <= MOST_DIFFERENT for one, other in pairs)
    # Each changed picture asked for among all originals: its own is right, every other is wrong.
    right = sum(recall[name] * changed for name in CHANGES)
    wrong = sum(
        difference(asked, other) <= MOST_DIFFERENT
        for each in again.values()
        for at, asked in enumerate(each)
        for number, other in enumerate(hashes)
        if number != at
    )
    return {
        "distinct": len(pictures),
        "changed": changed,
        "different": MOST_DIFFERENT,
        "recall": {name: round(share, 3) for name, share in recall.items()},
        "precision": round(right / (right + wrong), 4),
        "strangers_found": strangers,
        "pairs_of_strangers": len(pairs),
        "closest_strangers": min(difference(one, other) for one, other in pairs),
    }


async def _hash(pool: DecoderPool, picture: Image.Image) -> str:
    out = io.BytesIO()
    picture.convert("RGB").save(out, "PNG", compress_level=1)
    facts = {"format": "png", "width": picture.width, "height": picture.height, "orientation": 1, "mode": "RGB"}
    probe = ImageProbe.model_validate({**facts, "alpha": False, "frames": 1, "animated": False})
    file = unnamed_file()
    try:
        os.write(file, out.getvalue())
        return (await describe_image(pool, file, probe)).perceptual_hash
    finally:
        os.close(file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench similar", description=__doc__)
    parser.add_argument("--distinct", type=int, default=DISTINCT, help=f"distinct pictures (default {DISTINCT})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logs.configure(configuration().model_copy(update={"log_level": "warning"}))
    found = uvloop.run(measure([distinct(seed) for seed in range(options.distinct)], options.distinct))
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    table = Table("change", "found", title=f"{found['distinct']} distinct pictures", title_justify="left")
    for name, share in found["recall"].items():
        table.add_row(name, f"{share:.1%}")
    out = Console()
    out.print(table)
    out.print(f"precision {found['precision']:.2%}; of {found['pairs_of_strangers']:,} pairs of strangers ", end="")
    out.print(f"{found['strangers_found']} differ in {found['different']} bits or fewer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
