"""`tidegate bench documents`: files a second and latency, as a ratio to the bare limit of the same run."""

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
from typing import Any

import aiohttp
import uvloop
from rich.console import Console
from rich.table import Table

from bench.pdf import unique_pdf
from bench.processes import Account, resident
from bench.profiles import NOTHING
from bench.references import OPERATIONS, PDF, bare, sdk_loop
from cli.connect import configuration
from cli.installation import Installation
from events.nats import NatsBus
from infra import logs
from infra.bucket import provision_bucket
from infra.presign import Presigner
from infra.tokens import issue
from schemas.subjects import Subject

THREADS = (4, 8, 16, 32)
PATIENCE = 120.0
err = Console(stderr=True)


@dataclass(slots=True)
class Clients:
    """Clients who upload, and a subscriber who sees `promoted`."""

    gateway: str
    tokens: Iterator[str]
    """One after another: a single owner would be held to his rate."""
    http: aiohttp.ClientSession
    seeds: Iterator[int]
    size: int
    promoted: dict[str, asyncio.Future[float]] = field(default_factory=dict[str, "asyncio.Future[float]"])

    async def watch(self, bus: NatsBus) -> None:
        """Note when each `promoted` was stored."""
        async for stored in bus.read("MEDIA", ["media.promoted.>"], follow=True):
            future = self.promoted.pop(Subject.parse(stored.subject).media_id, None)
            if future is not None:
                future.set_result(stored.time.timestamp())

    async def upload(self) -> float:
        """One file through the front door; seconds from the PUT's answer to `promoted`."""
        body = unique_pdf(next(self.seeds), self.size)
        wish = {"filename": "bench.pdf", "content_type": PDF, "size": len(body)}
        headers = {"Authorization": f"Bearer {next(self.tokens)}"}
        async with self.http.post(f"{self.gateway}/v1/uploads", json=wish, headers=headers) as answer:
            assert answer.status == 201, await answer.text()  # noqa: PLR2004
            upload = await answer.json()
        future = self.promoted[upload["media_id"]] = asyncio.get_running_loop().create_future()
        async with self.http.put(upload["url"], data=body, headers=upload["headers"]) as answer:
            assert answer.status == 200, await answer.text()  # noqa: PLR2004
        answered = time.time()
        async with asyncio.timeout(PATIENCE):
            return max(await future - answered, 0.0)

    async def burst(self, files: int, at_once: int) -> tuple[float, list[float]]:
        """Files a second, and each one's latency."""
        todo = iter(range(files))
        latencies: list[float] = []

        async def client() -> None:
            for _ in todo:
                latencies.append(await self.upload())  # noqa: PERF401  one after another: that is the point

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(at_once)))
        return files / (time.perf_counter() - started), latencies


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"p{which}_ms": round(cuts[which - 1] * 1000, 1) for which in (50, 95, 99)}


async def measure(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Run everything on one fresh stack."""
    seeds = itertools.count(random.getrandbits(60))
    async with Installation(data, told=NOTHING) as running:
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
            async with aiohttp.ClientSession() as http:
                clients = Clients(signing.gateway_url, tokens, http, seeds, options.size)
                watching = asyncio.create_task(clients.watch(bus))
                await clients.burst(options.at_once * 4, options.at_once)
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
                    bares.append(
                        await bare(
                            functions, Presigner.uploads(signing), seeds, options.files, options.at_once, options.size
                        )
                    )
                    bare_account = meter.report()
                    await asyncio.to_thread(provision_bucket, operator, notify=True)
                err.print("one at a time")
                _, single = await clients.burst(options.singles, 1)
                await settled(bus)
                await asyncio.to_thread(provision_bucket, operator, notify=False)
                sdk: dict[int, float] = {}
                for threads in THREADS if options.sdk else ():
                    err.print(f"sdk_loop with {threads} threads")
                    sdk[threads] = await asyncio.to_thread(
                        sdk_loop, functions, signing, seeds, options.files, threads, options.size
                    )
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await bus.aclose()
    files_per_second = statistics.median(rate for rate, _ in whole)
    bare_files_per_second = statistics.median(bares)
    latencies = [latency for _, each in whole for latency in each]
    return {
        "files": options.files,
        "rounds": options.rounds,
        "at_once": options.at_once,
        "size": options.size,
        "files_per_second": round(files_per_second, 1),
        "bare_files_per_second": round(bare_files_per_second, 1),
        "sdk_files_per_second": round(max(sdk.values()), 1) if sdk else None,
        "sdk_by_threads": {str(threads): round(rate, 1) for threads, rate in sdk.items()},
        "ratio": round(statistics.median(mine / limit for (mine, _), limit in zip(whole, bares, strict=True)), 3),
        **percentiles(latencies),
        "one_at_a_time": percentiles(single),
        "idle_functions_mib": round(idle / 2**20, 1),
        "processes": account,
        "bare_processes": bare_account,
        "operations": {"bare": OPERATIONS, "sdk": OPERATIONS, "tidegate": TIDEGATE_OPERATIONS},
        "every_round": [round(rate, 1) for rate, _ in whole],
        "every_bare_round": [round(rate, 1) for rate in bares],
    }


TIDEGATE_OPERATIONS = {
    "presign": 1,
    "minio put": 2,
    "minio head": 1,
    "minio ranged get": 1,
    "minio get": 2,
    "clamd scan": 1,
    "minio copy": 1,
    "minio delete": 1,
    "nats publishes to MEDIA": 8,
    "nats notifications": 2,
    "nats reads of what happened": 3,
    "decoder jobs": 3,
}


async def settled(bus: NatsBus) -> None:
    """Wait until no consumer has anything left, so that the reference runs alone."""
    async with asyncio.timeout(PATIENCE):
        while True:
            states = [*await bus.state("UPLOADS"), *await bus.state("MEDIA")]
            if not any(each.pending or each.unacknowledged for each in states):
                return
            await asyncio.sleep(0.1)


def show(result: dict[str, Any]) -> None:
    """The result as a table."""
    table = Table(
        title=f"{result['at_once']} uploads at once of unique {result['size']:,} byte PDFs", title_justify="left"
    )
    table.add_column("")
    table.add_column("files/s", justify="right")
    table.add_row("bare: thin client, one event loop", f"{result['bare_files_per_second']}")
    table.add_row("sdk_loop: minio SDK, best of threads", f"{result['sdk_files_per_second']}")
    table.add_row("[bold]Tidegate", f"[bold]{result['files_per_second']}")
    table.add_row("ratio to bare", f"{result['ratio']}")
    out = Console()
    out.print(table)
    single = result["one_at_a_time"]
    out.print(f"PUT's answer to promoted: p50 {result['p50_ms']} ms, p95 {result['p95_ms']}, p99 {result['p99_ms']}")
    out.print(f"one at a time: p50 {single['p50_ms']} ms, p95 {single['p95_ms']}, p99 {single['p99_ms']}")
    out.print(f"idle `tidegate run`: {result['idle_functions_mib']} MiB")
    costs = Table(
        "process", "ms CPU a file", "peak MiB", "bare: ms CPU a file", title="last round", title_justify="left"
    )
    for name, cost in result["processes"].items():
        limit = result["bare_processes"].get(name)
        each = cost["cpu_seconds"] / result["files"] * 1000
        beside = f"{limit['cpu_seconds'] / result['files'] * 1000:.2f}" if limit else ""
        costs.add_row(name, f"{each:.2f}", f"{cost['peak_mib']}", beside)
    out.print(costs)
    operations = Table("operations per file", "bare", "sdk_loop", "tidegate")
    for name in dict.fromkeys([*OPERATIONS, *TIDEGATE_OPERATIONS]):
        operations.add_row(name, *(str(result["operations"][who].get(name, "")) for who in ("bare", "sdk", "tidegate")))
    out.print(operations)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench documents", description=__doc__)
    parser.add_argument("--files", type=int, default=600, help="files a round (default 600)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, medians are taken (default 3)")
    parser.add_argument("--at-once", type=int, default=16, help="uploads at once (default 16)")
    parser.add_argument("--singles", type=int, default=200, help="uploads one at a time (default 200)")
    parser.add_argument("--size", type=int, default=100_000, help="bytes of a file (default 100,000)")
    parser.add_argument("--no-sdk", dest="sdk", action="store_false", help="leave the SDK reference out")
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
