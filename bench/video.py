"""`tidegate bench video`: a minute of 1080p from its PUT to `ready`, against FFmpeg alone; then several workers.

All in one run: the whole way with all cores, one bare FFmpeg that decodes once, one pass for each size one after
another. Then workers of one core each, with chunks: one worker, two, and two of which one is killed at work.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from rich.console import Console
from rich.table import Table

from bench.encoders import film, passes, single
from bench.queued import Client
from cli.connect import configuration
from cli.installation import Installation
from events.nats import NatsBus
from infra import logs
from infra.local.process import Process
from infra.tokens import issue
from schemas.document import event_name
from schemas.profiles import VideoProfile

RUNGS = ("240p", "360p", "720p")
WAY = ("receive", "identify", "scan", "probe", "promote", "finish", "discard", "record", "sweep")
STREAM = ("plan_video", "encode_chunk", "encode_audio", "package_video")
PATIENCE = 600.0
err = Console(stderr=True)


def profile(**changes: Any) -> VideoProfile:
    """The stream of three sizes, and no poster, storyboard or MP4 beside it."""
    rungs = tuple(rung for rung in VideoProfile().rungs if rung.name in RUNGS)
    return VideoProfile(poster="none", storyboard="none", rungs=rungs, **changes)


def told(chosen: VideoProfile, **more: Any) -> dict[str, str]:
    """A profile as a worker's environment."""
    video = {
        f"TIDEGATE_VIDEO__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in chosen.model_dump(mode="json", exclude_defaults=True).items()
    }
    return video | {f"TIDEGATE_{name.upper()}": str(value) for name, value in more.items()}


@asynccontextmanager
async def worker(
    running: Installation, name: str, functions: Sequence[str], **variables: str
) -> AsyncGenerator[Process]:
    """A worker process for some functions."""
    ready = running.stack.data / f"{name}.ready"

    async def bound() -> bool:
        return ready.exists()

    kept = {each: os.environ[each] for each in ("PATH", "HOME", "TMPDIR") if each in os.environ}
    process = Process(
        name,
        [sys.executable, "-P", "-m", "cli", "run", "--ready-file", str(ready), *functions],
        log_file=running.stack.data / "logs" / f"{name}.log",
        environment=kept | running.info.environment("functions") | {"TIDEGATE_LOG_LEVEL": "warning"} | variables,
        ready=bound,
        stop_seconds=30,
    )
    await process.start()
    try:
        yield process
    finally:
        await process.stop()
        ready.unlink(missing_ok=True)


class Bench:
    """One installation, whose functions run as each measurement wants it."""

    def __init__(self, running: Installation, client: Client, bus: NatsBus, body: bytes) -> None:
        self.running, self.client, self.bus, self.body = running, client, bus, body

    async def whole(self, chosen: VideoProfile) -> dict[str, float]:
        """Every function in one process with all cores: seconds from before the PUT to `playable` and `ready`."""
        async with worker(self.running, "all", (), **told(chosen)):
            media_id, started = await self._send()
            ready = await self.client.until(media_id, "ready") - started
            return {"ready": ready, "playable": await self._when(media_id, "playable")}

    async def workers(self, chosen: VideoProfile, count: int, *, kill: bool = False) -> dict[str, float]:
        """Workers of one core each: seconds from `promoted` to `ready`, and how many pieces were encoded."""
        variables = told(chosen, cpu_budget=1)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(worker(self.running, "way", WAY, **told(chosen)))
            processes = [
                await stack.enter_async_context(worker(self.running, f"video{number}", STREAM, **variables))
                for number in range(count)
            ]
            media_id, _ = await self._send()
            promoted = await self.client.until(media_id, "promoted")
            if kill:
                # In the middle of the rest: two pieces are done, two more are being encoded.
                await self._encoded(media_id, 2)
                await asyncio.sleep(self.pause)
                os.kill(processes[0].pid, signal.SIGKILL)
            ready = await self.client.until(media_id, "ready")
            return {"seconds": ready - promoted, "encoded": await self._encoded(media_id, 0)}

    pause = 3.0
    """After a piece is done, the next one is at work for so long when its process is killed."""

    async def _send(self) -> tuple[str, float]:
        started = time.monotonic()
        return await self.client.send("film.mp4", "video/mp4", self.body), started

    async def _encoded(self, media_id: str, least: int) -> int:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [each async for each in self.bus.read("MEDIA", [f"media.encoded.*.*.{media_id}.>"])]
                if len(found) >= least:
                    return len(found)
                await asyncio.sleep(0.2)

    async def _when(self, media_id: str, name: str) -> float:
        """Seconds from `requested` to an event, by the stream's clock."""
        times = {
            event_name(json.loads(each.data)): each.time.timestamp()
            async for each in self.bus.read("MEDIA", [f"media.*.*.*.{media_id}.>"])
        }
        return times[name] - times["requested"]


async def measure(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Everything on one fresh stack."""
    chosen = profile()
    source = data / "film.mp4"
    err.print(f"a film of {options.seconds} s")
    await asyncio.to_thread(film, source, options.seconds)
    made = data / "bare"
    made.mkdir()
    async with Installation(data / "stack") as running:
        await running.functions.stop()
        operator = running.stack.settings("operator")
        token = issue(operator.jwt_secret.get_secret_value(), owner="bench", scopes=["upload", "read"])
        bus = await NatsBus.connect(operator.nats_url, name="bench")
        watching = None
        try:
            async with aiohttp.ClientSession() as http:
                client = Client(running.info.environment("gateway")["TIDEGATE_GATEWAY_URL"], token, http)
                watching = asyncio.create_task(client.watch(bus))
                bench = Bench(running, client, bus, source.read_bytes())
                rounds: list[dict[str, float]] = []
                for number in range(options.rounds):
                    err.print(f"round {number + 1} of {options.rounds}: tidegate, one decode, three passes")
                    mine = await bench.whole(chosen)
                    bare = await asyncio.to_thread(single, source, chosen, made)
                    rounds.append(
                        mine | {"bare": bare, "passes": await asyncio.to_thread(passes, source, chosen, made)}
                    )
                several: dict[str, dict[str, float]] = {}
                if options.workers:
                    quarters = profile(segment_seconds=max(1, options.seconds / 12), chunk_seconds=options.seconds / 4)
                    for name, count, kill in (("one", 1, False), ("two", 2, False), ("killed", 2, True)):
                        err.print(f"four chunks, workers of one core: {name}")
                        several[name] = await bench.workers(quarters, count, kill=kill)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await bus.aclose()
    return _result(options, len(bench.body), rounds, several)


def _result(
    options: argparse.Namespace, size: int, rounds: list[dict[str, float]], several: dict[str, dict[str, float]]
) -> dict[str, Any]:
    best = min(rounds, key=lambda each: each["ready"] / each["bare"])
    result: dict[str, Any] = {
        "seconds_of_film": options.seconds,
        "bytes": size,
        "rungs": list(RUNGS),
        "cores": len(os.sched_getaffinity(0)),
        "ready_seconds": round(best["ready"], 2),
        "playable_seconds": round(best["playable"], 2),
        "bare_seconds": round(best["bare"], 2),
        "three_passes_seconds": round(best["passes"], 2),
        "to_bare": round(best["ready"] / best["bare"], 3),
        "to_three_passes": round(best["ready"] / best["passes"], 3),
        "every_round": [{name: round(value, 2) for name, value in each.items()} for each in rounds],
    }
    if several:
        one, two, killed = (several[name]["seconds"] for name in ("one", "two", "killed"))
        result["workers"] = {
            "chunks": 4,
            "one_seconds": round(one, 2),
            "two_seconds": round(two, 2),
            "speed_up": round(one / two, 2),
            "killed_seconds": round(killed, 2),
            "lost_seconds": round(killed - two, 2),
            "pieces": {name: int(each["encoded"]) for name, each in several.items()},
        }
    return result


def show(result: dict[str, Any]) -> None:
    """The result as a table."""
    table = Table(title=f"{result['seconds_of_film']} s of 1080p to {', '.join(result['rungs'])}", title_justify="left")
    table.add_column("")
    table.add_column("seconds", justify="right")
    table.add_row("bare: one FFmpeg that decodes once", f"{result['bare_seconds']}")
    table.add_row("three passes, one after another", f"{result['three_passes_seconds']}")
    table.add_row("[bold]Tidegate, PUT to `ready`", f"[bold]{result['ready_seconds']}")
    table.add_row("Tidegate, to `playable`", f"{result['playable_seconds']}")
    table.add_row("ratio to bare, to three passes", f"{result['to_bare']}, {result['to_three_passes']}")
    out = Console()
    out.print(table)
    if workers := result.get("workers"):
        out.print(
            f"four chunks: one worker of one core {workers['one_seconds']} s, two {workers['two_seconds']} s "
            f"({workers['speed_up']} times as fast); with one of them killed {workers['killed_seconds']} s"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench video", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of the film (default 60)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds, the best ratio is taken (default 1)")
    parser.add_argument("--no-workers", dest="workers", action="store_false", help="leave the workers out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logs.configure(configuration().model_copy(update={"log_level": "warning"}))
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as data:
        result = uvloop.run(measure(options, Path(data)))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
