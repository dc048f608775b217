"""`tidegate bench probe`: how long it takes to say what a file is, one at a time, with warm decoders."""

import argparse
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pillow_heif
import uvloop
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.pdf import unique_pdf
from cli.connect import configuration
from infra import logs
from infra.decoder import DecoderPool, named, probe_image, probe_pdf, unnamed_file
from infra.ffmpeg import Ffmpeg, probe_recording
from schemas.model import Model

pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType] -- untyped keywords

Probing = Callable[[int], Awaitable[Model]]

PHOTO = (4000, 3000)
SEED = 1


def photo(size: tuple[int, int], made: str, **options: Any) -> bytes:
    """A picture that packs about as well as a photo: noise over shapes."""
    chance = random.Random(SEED)  # noqa: S311  a sample's
    small = size[0] // 4, size[1] // 4
    mandelbrot: Any = Image.effect_mandelbrot(small, (-2, -1.5, 1, 1.5), 40)
    grain: Any = Image.frombytes("L", small, chance.randbytes(small[0] * small[1]))
    shapes, noise = mandelbrot.resize(size), grain.resize(size)
    mixed = Image.blend(shapes, noise, 0.15)
    out = io.BytesIO()
    Image.merge("RGB", (mixed, mixed, shapes)).save(out, made, **options)
    return out.getvalue()


def video(*arguments: str) -> bytes:
    """A video of ten seconds with sound."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        source = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=10", "-f", "lavfi"]
        sound = ["-i", "sine=duration=10", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", *source, *sound, *arguments, str(path)]
        subprocess.run(command, check=True)  # noqa: S603 -- a command line of our own
        return path.read_bytes()


async def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each kind of file."""
    settings = configuration()
    pool, ffmpeg = DecoderPool(settings), Ffmpeg(settings)

    async def recording(file: int) -> Model:
        with named(file) as path:
            return await probe_recording(ffmpeg, path, "video/mp4")

    files: dict[str, tuple[bytes, Probing]] = {
        "JPEG of 12 MP": (photo(PHOTO, "JPEG", quality=85), lambda file: probe_image(pool, file, "image/jpeg")),
        "HEIC of 12 MP": (photo(PHOTO, "HEIF"), lambda file: probe_image(pool, file, "image/heic")),
        "PNG of 1 MP": (photo((1200, 900), "PNG"), lambda file: probe_image(pool, file, "image/png")),
        "MP4 of 10 s": (video("-movflags", "+faststart"), recording),
        "PDF of 100 KB": (unique_pdf(SEED), lambda file: probe_pdf(pool, file)),
    }
    await pool.start()
    await ffmpeg.start()
    try:
        return {
            name: {"bytes": len(content), **await _times(content, probing, rounds)}
            for name, (content, probing) in files.items()
        }
    finally:
        await pool.aclose()


async def _times(content: bytes, probing: Probing, rounds: int) -> dict[str, float]:
    taken: list[float] = []
    for _ in range(rounds + 1):
        file = unnamed_file()
        os.write(file, content)
        started = time.perf_counter()
        await probing(file)
        taken.append(1000 * (time.perf_counter() - started))
        os.close(file)
    taken = taken[1:]  # the first one finds cold caches
    return {"p50_ms": round(statistics.median(taken), 1), "p95_ms": round(statistics.quantiles(taken, n=20)[-1], 1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench probe", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="times that each file is probed (default 30)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logs.configure(configuration().model_copy(update={"log_level": "warning"}))
    found = uvloop.run(measure(max(options.rounds, 2)))
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    table = Table("file", "bytes", "p50", "p95")
    for name, figures in found.items():
        table.add_row(name, f"{figures['bytes']:,}", f"{figures['p50_ms']} ms", f"{figures['p95_ms']} ms")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
