"""NATS keeps the contract."""

import itertools
from collections.abc import AsyncGenerator, Generator

import pytest

from events.nats import NatsBus
from tests.events.contract import CONTRACT, Promise
from tests.events.servers import NatsServer

_names = (f"S{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[NatsServer]:
    """One server for all promises; each has streams of its own."""
    running = NatsServer(tmp_path_factory.mktemp("nats"), sync="2m")
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def bus(server: NatsServer) -> AsyncGenerator[NatsBus]:
    """A connection of one's own."""
    connected = await NatsBus.connect(server.url, name="tests")
    yield connected
    await connected.aclose()


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_nats(promise: Promise, bus: NatsBus) -> None:
    """NATS, spoken to as `events.nats` does, keeps each promise of `events.bus`."""
    await promise(bus, next(_names))
