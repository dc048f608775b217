"""What `functions` and `health` say of a function with lanes, on a real NATS with its real subjects."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from cli.application import application, filters
from cli.functions import functions
from cli.health import consumers
from events.bus import ConsumerState
from events.nats import NatsBus
from events.nats_api import api
from events.registry import Registry, function
from events.streams import Retention, provision
from events.worker import Worker
from infra.settings import Settings
from schemas.events import MediaEvent, Promoted
from schemas.model import LANES
from schemas.subjects import Subject
from tests.events.domain import until
from tests.events.servers import NatsServer, nats_server


def registered() -> Registry:
    """`render_image`, as one will be."""
    registry = Registry()

    @function(on=Promoted, kinds=("image",), into=registry, lanes=True, cpu=1, concurrency=1)
    async def render_image(event: Promoted, ctx: Any) -> None:
        """Never ends."""
        await asyncio.Future[None]()

    return registry


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[NatsServer]:
    """A NATS that is provisioned for it, and the command line with nothing else installed."""
    registry = registered()
    for module in ("functions", "health"):
        monkeypatch.setattr(f"cli.{module}.load", lambda: registry)
    with nats_server(tmp_path, sync="2m") as running:
        monkeypatch.setenv("TIDEGATE_NATS_URL", running.url)
        bus = await NatsBus.connect(running.url, name="tests")
        await provision(bus, application(), registry, Retention(), 15)
        yield running
        await bus.aclose()


@pytest.fixture
async def bus(server: NatsServer) -> AsyncGenerator[NatsBus]:
    """A connection to it."""
    connected = await NatsBus.connect(server.url, name="tests")
    yield connected
    await connected.aclose()


async def test_lanes_are_shown_one_by_one(bus: NatsBus, capsys: pytest.CaptureFixture[str]) -> None:
    """Pending, running and workers of each lane; a lane isn't without workers because they are busy in another."""
    for number, lane in enumerate(("bulk", "bulk", "premium")):
        subject = Subject("promoted", "image", lane, f"m{number}", "0", "promote")
        await bus.publish(str(subject), b"{}")
    assert await functions(None, check=False, mermaid=False, as_json=True) == 0
    (shown,) = json.loads(capsys.readouterr().out)["functions"]
    assert (shown["cpu"], shown["consumer"], list(shown["lanes"])) == (1, None, list(LANES))
    assert {lane: figures["pending"] for lane, figures in shown["lanes"].items()} == {
        "premium": 1,
        "standard": 0,
        "bulk": 2,
    }
    assert await functions(None, check=False, mermaid=False, as_json=False) == 0
    table = capsys.readouterr().out
    assert table.count("none") == 3, "nobody works on it"
    for lane in LANES:
        assert f"  {lane}" in table


async def test_health_knows_lanes(bus: NatsBus, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody there and a lane without a consumer are problems; workers that are busy with one lane are not."""
    found = await consumers(bus)
    assert (found.status, found.detail) == (
        "problem",
        "nobody works on render_image (0 wait): run `tidegate run render_image`",
    )
    worker = Worker(bus, application(), list(registered()))
    await worker.start()
    await until(lambda: _up(bus), "up")
    # As a process at work looks: something is taken in one lane, and nothing asked for in the others.
    await worker.drain()
    taken: list[Any] = []
    await bus.publish(str(Subject("promoted", "image", "bulk", "m1", "0", "promote")), b"{}")
    busy = await bus.subscribe("MEDIA", "render_image-bulk", taken.append)
    assert await busy.take()
    found = await consumers(bus)
    assert (found.status, found.detail) == ("up", "1 functions, 0 events wait, 1 are worked on")
    assert await functions(None, check=False, mermaid=False, as_json=False) == 0
    assert capsys.readouterr().out.count("busy") == len(LANES)
    await busy.drain()
    await api(bus._link, "CONSUMER.DELETE.MEDIA.render_image-bulk")  # pyright: ignore[reportPrivateUsage]
    found = await consumers(bus)
    assert found.detail == "render_image has no consumer render_image-bulk: run `tidegate provision`"


async def _up(bus: NatsBus) -> bool:
    states: list[ConsumerState] = await bus.state("MEDIA")
    return (await consumers(bus)).status == "up" and {state.waiting for state in states} == {1}


def test_filters_of_a_lane() -> None:
    """A model's subjects in one lane, of any kind or of some; without a lane they are what they were."""
    assert filters(Promoted, ("image", "video"), "bulk") == (
        "media.promoted.image.bulk.>",
        "media.promoted.video.bulk.>",
    )
    assert filters(Promoted, (), "bulk") == ("media.promoted.*.bulk.>",)
    assert filters(MediaEvent, (), "bulk") == ("media.*.*.bulk.>",)
    assert filters(Promoted, (), "") == ("media.promoted.>",)
    assert filters(Promoted, ("image",), "") == ("media.promoted.image.>",)
    assert filters(MediaEvent, (), "") == ("media.>",)


def test_every_lane_has_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings weigh each lane there is; a weight of nothing, which would starve it, is refused."""
    assert tuple(Settings().lane_weights) == LANES
    assert set(application().lanes) == set(LANES)
    monkeypatch.setenv("TIDEGATE_LANE_WEIGHT_BULK", "2")
    assert Settings().lane_weights["bulk"] == 2
    monkeypatch.setenv("TIDEGATE_LANE_WEIGHT_BULK", "0")
    with pytest.raises(ValueError, match="lane_weight_bulk"):
        Settings()
