"""What the runtime counts of itself."""

import asyncio
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from events.registry import Registry, function
from tests.events.domain import Sent, Weighed, post, until
from tests.events.servers import eventually


def value(name: str, **labels: str) -> float:
    """A metric's value in this process."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_runs_and_what_came_of_it_is_counted(tmp_path: Path) -> None:
    """Deliveries that run, tries and their seconds, events by type, and whether the consumer is there."""
    registry, go_on = Registry(), asyncio.Event()

    @function(on=Sent, into=registry)
    async def measured(event: Sent, ctx: Any) -> Weighed:
        await go_on.wait()
        return Weighed(parcel=event.parcel)

    published = value("tidegate_events_total", type="weighed")
    async with post("memory", tmp_path, registry) as place:
        await place.send("p1", "p2")
        await eventually(lambda: value("tidegate_running", function="measured") == 2, "two running")
        go_on.set()
        await place.settled()
        await until(lambda: _counted(2), "two done")
        assert value("tidegate_handler_seconds_count", function="measured") == 2
        assert value("tidegate_events_total", type="weighed") == published + 2
        await eventually(lambda: value("tidegate_consumer_bound", function="measured") == 1, "bound")
        await eventually(lambda: value("tidegate_running", function="measured") == 0, "none running")


async def _counted(count: int) -> bool:
    return value("tidegate_deliveries_total", function="measured", outcome="done") == count
