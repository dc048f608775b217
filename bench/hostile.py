"""`tidegate bench hostile`: what a flood of hostile files costs the good ones that come beside it."""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from pydantic_core import from_json
from rich.console import Console

from bench.mixture import Sort, good, hostile, numbered
from bench.processes import Account
from bench.profiles import NOTHING
from cli.connect import configuration
from cli.installation import Installation
from events.dead import STREAM as DEAD
from events.nats import NatsBus
from infra import logs
from infra.tokens import issue
from schemas.document import event_name
from schemas.events import TERMINAL

PATIENCE = 300.0
CREATED, STORED = 201, 200
err = Console(stderr=True)

Files = Iterator[tuple[Sort, bytes]]


@dataclass(slots=True)
class Clients:
    """Clients who upload, and a subscriber who sees how each file ends."""

    gateway: str
    token: str
    http: aiohttp.ClientSession
    ends: dict[str, asyncio.Future[str]] = field(default_factory=dict[str, "asyncio.Future[str]"])
    counted: Counter[str] = field(default_factory=Counter[str])

    async def watch(self, bus: NatsBus) -> None:
        """Note each file's end: its state, and a rejection's code."""
        filters = [f"events.{name}.>" for name in TERMINAL]
        async for stored in bus.read("EVENTS", filters, follow=True):
            event = from_json(stored.data)
            future = self.ends.pop(event["subject"], None)
            if future is not None:
                future.set_result(":".join(filter(None, (event_name(event), event["data"].get("code")))))

    async def upload(self, file: tuple[Sort, bytes]) -> str:
        """One file through the front door, to its end."""
        sort, body = file
        wish = {"filename": sort.name, "content_type": sort.content_type, "size": len(body)}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.post(f"{self.gateway}/v1/uploads", json=wish, headers=headers) as answer:
            assert answer.status == CREATED, await answer.text()
            ticket = await answer.json()
        future = self.ends[ticket["media_id"]] = asyncio.get_running_loop().create_future()
        async with self.http.put(ticket["url"], data=body, headers=ticket["headers"]) as answer:
            assert answer.status == STORED, await answer.text()
        async with asyncio.timeout(PATIENCE):
            end = await future
        self.counted[f"{sort.name} {end}"] += 1
        return end

    async def burst(self, files: int, at_once: int, friends: Files, enemies: Files | None = None) -> float:
        """Good files a second; with `enemies`, one of them comes with each good one, and nobody waits for it."""
        todo = iter(range(files))
        beside: list[asyncio.Task[str]] = []

        async def client() -> None:
            for _ in todo:
                if enemies is not None:
                    beside.append(asyncio.create_task(self.upload(next(enemies))))
                end = await self.upload(next(friends))
                assert end == "ready", end

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(at_once)))
        rate = files / (time.perf_counter() - started)
        for end in await asyncio.gather(*beside):
            assert end.startswith(("rejected", "quarantined")), end
        return rate


async def measure(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Good ones alone, then with as many hostile ones, on one fresh stack."""
    seed = random.getrandbits(60)
    friends, enemies = numbered(good(), seed), numbered(hostile(), seed)
    async with Installation(data, told=NOTHING) as running:
        operator = running.stack.settings("operator")
        token = issue(operator.jwt_secret.get_secret_value(), owner="bench", scopes=["upload", "read"])
        bus = await NatsBus.connect(operator.nats_url, name="bench")
        pids = {name: getattr(running.stack, name).pid for name in ("minio", "nats", "mongo", "clamd")}
        pids |= {"functions": running.functions.pid, "gateway": running.gateway.pid, "client": os.getpid()}
        watching = None
        try:
            async with aiohttp.ClientSession() as http:
                clients = Clients(running.info.environment("gateway")["TIDEGATE_GATEWAY_URL"], token, http)
                watching = asyncio.create_task(clients.watch(bus))
                await clients.burst(options.at_once * 2, options.at_once, friends, enemies)
                clients.counted.clear()
                alone: list[float] = []
                beside: list[float] = []
                costs: list[dict[str, Any]] = []
                for number in range(options.rounds):
                    err.print(f"round {number + 1} of {options.rounds}: good ones alone, then with hostile ones")
                    meter = Account(pids)
                    alone.append(await clients.burst(options.files, options.at_once, friends))
                    costs.append(meter.report())
                    meter = Account(pids)
                    beside.append(await clients.burst(options.files, options.at_once, friends, enemies))
                    costs.append(meter.report())
                ratio = sorted(mixed / before for mixed, before in zip(beside, alone, strict=True))
                letters = await bus.last(DEAD, [f"{DEAD.lower()}.>"])
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await bus.aclose()
        same = running.functions.running and running.functions.pid == pids["functions"]
    return {
        "files": options.files,
        "rounds": options.rounds,
        "at_once": options.at_once,
        "good_alone_per_second": round(sorted(alone)[len(alone) // 2], 1),
        "good_beside_hostile_per_second": round(sorted(beside)[len(beside) // 2], 1),
        "ratio": round(ratio[len(ratio) // 2], 3),
        "every_alone": [round(rate, 1) for rate in alone],
        "every_beside": [round(rate, 1) for rate in beside],
        "dead_letters": len(letters),
        "worker_lived": same,
        "ends": dict(sorted(clients.counted.items())),
        "processes_alone": costs[-2],
        "processes_beside": costs[-1],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the worker died or something was given up on."""
    parser = argparse.ArgumentParser(prog="tidegate bench hostile", description=__doc__)
    parser.add_argument("--files", type=int, default=500, help="good files a round, and hostile ones (default 500)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, medians are taken (default 3)")
    parser.add_argument("--at-once", type=int, default=16, help="good uploads at once (default 16)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logs.configure(configuration().model_copy(update={"log_level": "error"}))
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as data:
        result = uvloop.run(measure(options, Path(data)))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        out = Console()
        out.print(f"good ones alone: {result['good_alone_per_second']}/s")
        out.print(f"with as many hostile ones: {result['good_beside_hostile_per_second']}/s, ratio {result['ratio']}")
        for end, count in result["ends"].items():
            out.print(f"  {count:5} {end}", highlight=False)
    return 0 if result["worker_lived"] and not result["dead_letters"] else 1


if __name__ == "__main__":
    sys.exit(main())
