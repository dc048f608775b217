"""`tidegate bench queued`: an image's time while videos are being encoded, against its time on an idle machine."""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from pydantic_core import from_json
from rich.console import Console

from bench.probe import PHOTO, photo
from cli.connect import configuration
from cli.installation import Installation
from events.nats import NatsBus
from infra import logs
from infra.tokens import issue
from schemas.document import event_name

PATIENCE = 600.0
CREATED, STORED = 201, 200
ENDS = ("promoted", "ready", "failed", "rejected", "quarantined")
err = Console(stderr=True)


@dataclass(slots=True)
class Client:
    """A client who uploads and follows the events."""

    gateway: str
    token: str
    http: aiohttp.ClientSession
    said: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self, bus: NatsBus) -> None:
        """Note when each media was promoted and ended."""
        async for stored in bus.read("EVENTS", [f"events.{name}.>" for name in ENDS], follow=True):
            event = from_json(stored.data)
            async with self.news:
                self.said[event["subject"], event_name(event)] = time.monotonic()
                self.news.notify_all()

    async def send(self, name: str, content_type: str, body: bytes) -> str:
        """Upload; the media's id."""
        wish = {"filename": name, "content_type": content_type, "size": len(body)}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.post(f"{self.gateway}/v1/uploads", json=wish, headers=headers) as answer:
            assert answer.status == CREATED, await answer.text()
            ticket = await answer.json()
        async with self.http.put(ticket["url"], data=body, headers=ticket["headers"]) as answer:
            assert answer.status == STORED, await answer.text()
        return ticket["media_id"]

    async def until(self, media_id: str, name: str) -> float:
        """Wait for an event; when it came."""
        async with asyncio.timeout(PATIENCE), self.news:
            while (media_id, name) not in self.said:
                ended = {end for end in ENDS[2:] if (media_id, end) in self.said}
                assert not ended, f"{media_id} is {ended}"
                await self.news.wait()
        return self.said[media_id, name]

    async def image(self, body: bytes) -> float:
        """One image; seconds from before its PUT to `ready`."""
        started = time.monotonic()
        return await self.until(await self.send("photo.jpg", "image/jpeg", body), "ready") - started


def film(seconds: int, seed: int) -> bytes:
    """A video of 720p with sound, unlike any other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        sources = ["-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=30:duration={seconds}"]
        sources += ["-f", "lavfi", "-i", f"sine=duration={seconds}"]
        marks = ["-metadata", f"comment={seed}"]
        coded = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", *marks, str(path)]
        subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", *sources, *coded], check=True)  # noqa: S603, S607
        return path.read_bytes()


def unique(template: bytes, seeds: Iterator[int]) -> bytes:
    """The same picture with other bytes: a comment before the first segment."""
    mark = b"%032x" % next(seeds)
    return template[:2] + b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark + template[2:]


async def measure(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Images on an idle machine, then beside the videos."""
    seeds = itertools.count(random.getrandbits(60))
    template = photo(PHOTO, "JPEG", quality=85)
    videos = [film(options.seconds, next(seeds)) for _ in range(options.videos)]
    async with Installation(data) as running:
        operator = running.stack.settings("operator")
        token = issue(operator.jwt_secret.get_secret_value(), owner="bench", scopes=["upload", "read"])
        bus = await NatsBus.connect(operator.nats_url, name="bench")
        watching = None
        try:
            async with aiohttp.ClientSession() as http:
                client = Client(running.info.environment("gateway")["TIDEGATE_GATEWAY_URL"], token, http)
                watching = asyncio.create_task(client.watch(bus))
                for _ in range(2):
                    await client.image(unique(template, seeds))
                err.print("images alone")
                idle = [await client.image(unique(template, seeds)) for _ in range(options.images)]
                err.print(f"{options.videos} videos, and images beside them")
                queued = [await client.send("film.mp4", "video/mp4", body) for body in videos]
                for media_id in queued:
                    await client.until(media_id, "promoted")
                beside: list[float] = []
                open_before: list[int] = []
                while len(beside) < options.images and (left := _open(client, queued)):
                    open_before.append(left)
                    beside.append(await client.image(unique(template, seeds)))
                left_open = _open(client, queued)
                for media_id in queued:
                    await client.until(media_id, "ready")
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await bus.aclose()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "videos": options.videos,
        "images_beside": len(beside),
        "videos_open_at_the_first_and_after_the_last": [open_before[0], left_open],
        "idle_p50_seconds": round(statistics.median(idle), 3),
        "beside_p50_seconds": round(statistics.median(beside), 3),
        "beside_worst_seconds": round(max(beside), 3),
        "ratio": round(statistics.median(beside) / statistics.median(idle), 2),
    }


def _open(client: Client, videos: Sequence[str]) -> int:
    return sum((media_id, "ready") not in client.said for media_id in videos)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench queued", description=__doc__)
    parser.add_argument("--videos", type=int, default=10, help="videos queued (default 10)")
    parser.add_argument("--seconds", type=int, default=15, help="length of each (default 15)")
    parser.add_argument("--images", type=int, default=15, help="images alone, and beside the videos (default 15)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logs.configure(configuration().model_copy(update={"log_level": "warning"}))
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as data:
        result = uvloop.run(measure(options, Path(data)))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        out = Console()
        out.print(f"an image alone: {result['idle_p50_seconds']} s from PUT to ready, the median")
        out.print(f"beside {result['videos']} videos: {result['beside_p50_seconds']} s, ratio {result['ratio']}")
        out.print(f"the slowest of {result['images_beside']}: {result['beside_worst_seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
