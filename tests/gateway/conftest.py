"""The real stack with its streams and bucket, and a gateway in front of it."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from events.nats import NatsBus
from events.streams import Retention, streams
from gateway.app import connected_app
from gateway.server import Server
from infra.bucket import provision_bucket
from infra.documents import Documents
from infra.local.threaded import ThreadedStack
from infra.quotas import Quotas
from tests.gateway.running import Running


@pytest.fixture(scope="module")
def provisioned(spare_stack: ThreadedStack) -> ThreadedStack:
    """A stack whose servers may be frozen, with streams and bucket."""

    async def provision() -> None:
        bus = await NatsBus.connect(spare_stack.settings("operator").nats_url, name="tests")
        await bus.provision(streams(Retention()), [])
        await bus.aclose()
        async with aclosing(Documents.from_settings(spare_stack.settings("operator"))) as documents:
            await documents.provision()
        async with aclosing(Quotas.from_settings(spare_stack.settings("operator"))) as quotas:
            await quotas.provision()

    asyncio.run(provision())
    provision_bucket(spare_stack.settings("root"))
    return spare_stack


@pytest.fixture
async def gateway(provisioned: ThreadedStack) -> AsyncGenerator[Running]:
    """A gateway with the gateway's own credentials."""
    async with running(provisioned) as one:
        yield one


@asynccontextmanager
async def running(provisioned: ThreadedStack, **changes: Any) -> AsyncGenerator[Running]:
    """Run a gateway as long as the context lasts; tests ask more than a person does, and may."""
    port = _free_port()
    where = {"gateway_port": port, "gateway_url": f"http://127.0.0.1:{port}"}
    settings = provisioned.settings("gateway", **{**where, "rate_per_second": 0, **changes})
    app = connected_app(settings)
    server = Server(app, settings, own_signals=False)
    operator = await NatsBus.connect(provisioned.settings("operator").nats_url, name="tests")
    serving = asyncio.create_task(server.serve())
    try:
        async with aiohttp.ClientSession() as http:
            async with asyncio.timeout(20):
                await server.listening.wait()
            yield Running(app, server, settings, operator, http)
    finally:
        server.should_exit = True
        await serving
        await operator.aclose()


def _free_port() -> int:
    """A port that nobody listens on: the gateway's links name it before it does."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
