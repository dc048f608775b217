"""`tidegate bench scan`: how long ClamAV takes for a photo of 12 megapixels, as `scan` asks it.

Every photo has bytes of its own, since clamd remembers what it found clean.
"""

import argparse
import asyncio
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from PIL import Image, ImageFilter
from rich.console import Console

from cli.connect import configuration
from infra import logs
from infra.clamd import Clamd
from infra.local.stack import LocalStack

SIZE = (4000, 3000)
CHUNK_BYTES = 64 * 1024


def photo() -> bytes:
    """A JPEG of 12 megapixels, as large as a camera's."""
    channels = [Image.effect_noise(SIZE, 90).filter(ImageFilter.GaussianBlur(1)) for _ in range(3)]
    output = io.BytesIO()
    Image.merge("RGB", channels).save(output, "JPEG", quality=85)
    return output.getvalue()


def unique(jpeg: bytes) -> bytes:
    """The same picture in other bytes: with a comment (COM) behind the start of the image."""
    comment = os.urandom(32)
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


async def measure(count: int, data: Path) -> list[float]:
    """Milliseconds of each scan, one at a time."""
    jpeg = photo()
    async with LocalStack(data) as stack:
        clamd = Clamd.from_settings(stack.settings("functions"))
        await _scan(clamd, unique(jpeg))
        return [await _scan(clamd, unique(jpeg)) for _ in range(count)]


async def _scan(clamd: Clamd, body: bytes) -> float:
    async def chunks() -> AsyncGenerator[bytes]:
        for start in range(0, len(body), CHUNK_BYTES):
            yield body[start : start + CHUNK_BYTES]

    begun = time.perf_counter()
    verdict = await clamd.scan(chunks())
    seconds = time.perf_counter() - begun
    assert verdict.status == "clean", verdict
    return seconds * 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench scan", description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="photos, one after the other (default 50)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logs.configure(configuration().model_copy(update={"log_level": "warning"}))
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as data:
        took = asyncio.run(measure(options.count, Path(data)))
    cuts = statistics.quantiles(took, n=20, method="inclusive")
    result = {
        "photos": options.count,
        "p50_ms": round(statistics.median(took), 1),
        "p95_ms": round(cuts[-1], 1),
        "least_ms": round(min(took), 1),
        "most_ms": round(max(took), 1),
    }
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        Console().print(
            f"a photo of 12 megapixels: p50 {result['p50_ms']} ms, p95 {result['p95_ms']} "
            f"({result['least_ms']} to {result['most_ms']}, {options.count} photos, one at a time)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
