"""`tidegate bench images`: photos a second from PUT to `ready`, as a ratio to the bare limit of the same run."""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop
from rich.console import Console
from rich.table import Table

from bench.bare_images import OPERATIONS, SIZES, bare
from bench.documents import percentiles, settled
from bench.probe import PHOTO, photo
from bench.processes import Account, resident
from bench.profiles import only
from bench.queued import unique
from cli.connect import configuration
from cli.installation import Installation
from events.nats import NatsBus
from infra import logs
from infra.bucket import provision_bucket
from infra.presign import Presigner
from infra.tokens import issue
from schemas.subjects import Subject

JPEG: Final = "image/jpeg"
PATIENCE = 300.0
CREATED, STORED = 201, 200
TIDEGATE_OPERATIONS = {
    "presign": 1,
    "minio put": 5,
    "minio head": 1,
    "minio ranged get": 1,
    "minio get": 1,
    "clamd scan": 1,
    "minio copy": 1,
    "minio delete": 1,
    "nats publishes to MEDIA": 9,
    "nats notifications": 2,
    "decoder jobs": 4,
}
err = Console(stderr=True)


@dataclass(slots=True)
class Clients:
    """Clients who upload, and a subscriber who sees `ready`."""

    gateway: str
    tokens: Iterator[str]
    http: aiohttp.ClientSession
    photos: Iterator[bytes]
    ready: dict[str, asyncio.Future[float]] = field(default_factory=dict[str, "asyncio.Future[float]"])

    async def watch(self, bus: NatsBus) -> None:
        """Note when each `ready` was stored."""
        async for stored in bus.read("MEDIA", ["media.ready.>"], follow=True):
            future = self.ready.pop(Subject.parse(stored.subject).media_id, None)
            if future is not None:
                future.set_result(stored.time.timestamp())

    async def upload(self) -> float:
        """One photo through the front door; seconds from before its PUT to `ready`."""
        body = next(self.photos)
        wish = {"filename": "bench.jpg", "content_type": JPEG, "size": len(body)}
        headers = {"Authorization": f"Bearer {next(self.tokens)}"}
        async with self.http.post(f"{self.gateway}/v1/uploads", json=wish, headers=headers) as answer:
            assert answer.status == CREATED, await answer.text()
            ticket = await answer.json()
        future = self.ready[ticket["media_id"]] = asyncio.get_running_loop().create_future()
        begun = time.time()
        async with self.http.put(ticket["url"], data=body, headers=ticket["headers"]) as answer:
            assert answer.status == STORED, await answer.text()
        async with asyncio.timeout(PATIENCE):
            return await future - begun

    async def burst(self, files: int, at_once: int) -> tuple[float, list[float]]:
        """Photos a second, and each one's seconds."""
        todo = iter(range(files))
        latencies: list[float] = []

        async def client() -> None:
            for _ in todo:
                latencies.append(await self.upload())  # noqa: PERF401  one after another: that is the point

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(at_once)))
        return files / (time.perf_counter() - started), latencies


def promised(*, description: bool) -> dict[str, str]:
    """Variables with which the three sizes in JPEG are promised, as bare makes them."""
    variants = [{"name": name, "longest": longest} for name, longest in SIZES.items()]
    return only("sizes", *(["description"] if description else [])) | {
        "TIDEGATE_IMAGES__VARIANTS": json.dumps(variants),
        "TIDEGATE_IMAGES__FORMATS": '["jpeg"]',
        # Two for each core: while one hands over what it made, another decodes.
        "TIDEGATE_DECODER_PROCESSES": str(2 * len(os.sched_getaffinity(0))),
    }


async def measure(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Run everything on one fresh stack."""
    seeds = itertools.count(random.getrandbits(60))
    template = photo(PHOTO, "JPEG", quality=85)
    photos = (unique(template, seeds) for _ in itertools.count())
    async with Installation(data, told=promised(description=options.description)) as running:
        operator, functions = running.stack.settings("operator"), running.stack.settings("functions")
        signing = running.stack.settings("gateway")
        bus = await NatsBus.connect(operator.nats_url, name="bench")
        secret = operator.jwt_secret.get_secret_value()
        tokens = itertools.cycle([issue(secret, owner=f"bench{number}") for number in range(options.at_once)])
        servers = {name: getattr(running.stack, name).pid for name in ("minio", "nats", "mongo", "clamd")}
        servers["client"] = os.getpid()
        pids = servers | {"functions": running.functions.pid, "gateway": running.gateway.pid}
        idle = resident(running.functions.pid)
        watching = None
        try:
            # Less than the gateway keeps one open: a photo may take longer than that on a busy machine.
            connector = aiohttp.TCPConnector(keepalive_timeout=2)
            async with aiohttp.ClientSession(connector=connector) as http:
                clients = Clients(signing.gateway_url, tokens, http, photos)
                watching = asyncio.create_task(clients.watch(bus))
                await clients.burst(options.at_once * 2, options.at_once)
                whole: list[tuple[float, list[float]]] = []
                bares: list[float] = []
                account: dict[str, Any] = {}
                bare_account: dict[str, Any] = {}
                for number in range(options.rounds):
                    err.print(f"round {number + 1} of {options.rounds}: tidegate, then bare")
                    meter = Account(pids)
                    whole.append(await clients.burst(options.files, options.at_once))
                    account = meter.report()
                    await settled(bus)
                    await asyncio.to_thread(provision_bucket, operator, notify=False)
                    meter = Account(servers)
                    signer = Presigner.uploads(signing)
                    bares.append(await bare(functions, signer, photos, options.files, options.at_once))
                    bare_account = meter.report()
                    await asyncio.to_thread(provision_bucket, operator, notify=True)
                err.print("one at a time")
                _, single = await clients.burst(options.singles, 1)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await bus.aclose()
    rates = [rate for rate, _ in whole]
    return {
        "files": options.files,
        "rounds": options.rounds,
        "at_once": options.at_once,
        "cores": len(os.sched_getaffinity(0)),
        "size": len(next(photos)),
        "description": options.description,
        "files_per_second": round(statistics.median(rates), 2),
        "bare_files_per_second": round(statistics.median(bares), 2),
        "ratio": round(statistics.median(mine / limit for mine, limit in zip(rates, bares, strict=True)), 3),
        **percentiles([latency for _, each in whole for latency in each]),
        "one_at_a_time": percentiles(single),
        "idle_functions_mib": round(idle / 2**20, 1),
        "processes": account,
        "bare_processes": bare_account,
        "operations": {"bare": OPERATIONS, "tidegate": TIDEGATE_OPERATIONS},
        "every_round": [round(rate, 2) for rate in rates],
        "every_bare_round": [round(rate, 2) for rate in bares],
    }


def show(result: dict[str, Any]) -> None:
    """The result as a table."""
    made = ", ".join(f"{longest}" for longest in SIZES.values())
    title = (
        f"{result['at_once']} uploads at once of unique 12 MP JPEGs of {result['size']:,} bytes, to {made} px in JPEG"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("files/s", justify="right")
    table.add_row("bare: libvips in two threads, one event loop", f"{result['bare_files_per_second']}")
    table.add_row("[bold]Tidegate", f"[bold]{result['files_per_second']}")
    table.add_row("ratio to bare", f"{result['ratio']}")
    out = Console()
    out.print(table)
    single = result["one_at_a_time"]
    out.print(f"PUT to ready: p50 {result['p50_ms']} ms, p95 {result['p95_ms']}, p99 {result['p99_ms']}")
    out.print(f"one at a time: p50 {single['p50_ms']} ms, p95 {single['p95_ms']}, p99 {single['p99_ms']}")
    costs = Table(
        "process", "ms CPU a file", "peak MiB", "bare: ms CPU a file", title="last round", title_justify="left"
    )
    for name, cost in result["processes"].items():
        limit = result["bare_processes"].get(name)
        each = cost["cpu_seconds"] / result["files"] * 1000
        beside = f"{limit['cpu_seconds'] / result['files'] * 1000:.2f}" if limit else ""
        costs.add_row(name, f"{each:.2f}", f"{cost['peak_mib']}", beside)
    out.print(costs)
    operations = Table("operations per file", "bare", "tidegate")
    for name in dict.fromkeys([*OPERATIONS, *TIDEGATE_OPERATIONS]):
        operations.add_row(name, *(str(result["operations"][who].get(name, "")) for who in ("bare", "tidegate")))
    out.print(operations)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench images", description=__doc__)
    parser.add_argument("--files", type=int, default=96, help="photos a round (default 96)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, medians are taken (default 3)")
    parser.add_argument("--at-once", type=int, default=16, help="uploads at once (default 16)")
    parser.add_argument("--singles", type=int, default=20, help="uploads one at a time (default 20)")
    parser.add_argument("--description", action="store_true", help="promise the description as well")
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
