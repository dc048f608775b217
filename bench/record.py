"""`tidegate bench record`: events a second through `record`, documents in MongoDB and records in MinIO included.

The bare limit of the same run: the same events taken and acknowledged by a function that does nothing with them.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import count, repeat
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from pydantic_core import from_json, to_json
from rich.console import Console
from uuid_utils import uuid7

from bench.documents import Clients, settled
from cli.application import application, policy, services
from cli.connect import configuration
from cli.installation import Installation
from cli.worker import chosen
from events.envelope import HEADERS
from events.nats import NatsBus
from events.registry import Function, Registry, function
from events.streams import consumers
from events.worker import Worker
from infra import logs
from infra.context import Services
from infra.tokens import issue
from schemas.document import CloudEvent, event_name
from schemas.events import MediaEvent
from schemas.subjects import Subject

err = Console(stderr=True)
limit = Registry()


@function(on=MediaEvent, batch=512, linger=0.5, concurrency=2, announces_failure=False, into=limit)
async def bare(events: Sequence[CloudEvent], _ctx: Any) -> None:
    """Take events and do nothing."""
    del events


async def measure(media: int, rounds: int, data: Path) -> dict[str, Any]:
    """Publish the events of many media, then see how fast each of the two takes them."""
    mine: list[float] = []
    limits: list[float] = []
    async with Installation(data) as running:
        operator, settings = running.stack.settings("operator"), running.stack.settings("functions")
        bus = await NatsBus.connect(operator.nats_url, name="bench")
        own = await NatsBus.connect(settings.nats_url, name="bench functions")
        template = await _template(running, bus)
        await running.functions.stop()
        await bus.provision([], consumers(limit.functions["bare"], application(), settings.ack_wait_seconds))
        total = media * len(template)
        async with services(settings, own) as shared:
            for number in range(rounds):
                err.print(f"round {number + 1} of {rounds}: {total:,} events of {media:,} media")
                await _publish(bus, template, media)
                limits.append(total / await _take(own, bus, shared, limit.functions["bare"]))
                mine.append(total / await _take(own, bus, shared, chosen(["record"], settings)[0]))
        await own.aclose()
        await bus.aclose()
    return {
        "events_per_second": round(statistics.median(mine)),
        "bare_events_per_second": round(statistics.median(limits)),
        "ratio": round(statistics.median(rate / bound for rate, bound in zip(mine, limits, strict=True)), 3),
        "events_a_media": len(template),
        "media": media,
        "every_round": [round(rate) for rate in mine],
    }


async def _template(running: Installation, bus: NatsBus) -> list[CloudEvent]:
    """The events of one real file."""
    settings = running.stack.settings("operator")
    token = issue(settings.jwt_secret.get_secret_value(), owner="bench", scopes=["upload"])
    async with aiohttp.ClientSession() as http:
        clients = Clients(running.stack.settings("gateway").gateway_url, repeat(token), http, count(1), 20_000)
        watching = asyncio.create_task(clients.watch(bus))
        await clients.upload()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await settled(bus)
    return [from_json(stored.data) async for stored in bus.read("MEDIA", ["media.>"])]


async def _publish(bus: NatsBus, template: Sequence[CloudEvent], media: int) -> None:
    """The same events for many media, as their functions would have said them."""
    written = to_json(template).decode()
    old = template[0]["subject"]

    def messages() -> Iterable[tuple[str, bytes]]:
        for _ in range(media):
            media_id = str(uuid7())
            for event in from_json(written.replace(old, media_id)):
                event["id"] = f"{event['id'][:-12]}{media_id[-12:]}"
                subject = Subject(event_name(event), "document", "standard", media_id, event["run"], event["part"])
                yield str(subject), to_json(event)

    todo = iter(messages())

    async def publisher() -> None:
        for subject, payload in todo:
            await bus.publish(subject, payload, headers=HEADERS)

    await asyncio.gather(*(publisher() for _ in range(64)))


async def _take(own: NatsBus, bus: NatsBus, shared: Services, taker: Function) -> float:
    """Seconds until a function has taken everything that waits for it."""
    worker = Worker(own, application(shared), [taker], policy(shared.settings))
    started = time.perf_counter()
    await worker.start()
    while True:
        state = next(each for each in await bus.state("MEDIA") if each.name == taker.name)
        if not state.pending and not state.unacknowledged:
            break
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - started
    await worker.drain()
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tidegate bench record", description=__doc__)
    parser.add_argument(
        "--media", type=int, default=1500, help="media a round, each with all its events (default 1500)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, medians are taken (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logs.configure(configuration().model_copy(update={"log_level": "warning"}))
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as data:
        result = uvloop.run(measure(options.media, options.rounds, Path(data)))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        Console().print(
            f"record: {result['events_per_second']:,} events/s, {result['ratio']} of the bare "
            f"{result['bare_events_per_second']:,} (rounds: {result['every_round']})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
