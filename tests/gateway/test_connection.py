"""What no HTTP client sends: headers, addresses and trailers without an end, and requests that never come."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from gateway.connection import LARGEST_HEAD
from tests.gateway.running import Running

# More than one read beyond the bound.
ENOUGH = 64 * LARGEST_HEAD
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /v1/uploads HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def connected(gateway: Running) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the gateway."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()


async def swallowed(writer: asyncio.StreamWriter, part: bytes) -> int:
    """How much of an endless stream is taken before the connection ends; at most `ENOUGH`."""
    sent = 0
    try:
        while sent < ENOUGH:
            writer.write(part)
            await writer.drain()
            sent += len(part)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (GET, b"X-Field: " + b"x" * 1000 + b"\r\n"),
        (GET + b"X-Field: ", b"x" * 1000),
        (GET, b"x" * 1000),
        (b"GET /healthz?", b"x" * 1000),
        (POST + b"0\r\n", b"X-Trailer: " + b"x" * 1000 + b"\r\n"),
        (POST + b"1;", b"x" * 1000),
    ],
    ids=["fields", "value", "name", "address", "trailers", "extension"],
)
async def test_what_has_no_end_is_ended(gateway: Running, begun: bytes, part: bytes) -> None:
    """Whoever sends it, the gateway keeps no more of it than a header may have, and serves on."""
    async with connected(gateway) as (_, writer):
        writer.write(begun)
        assert await swallowed(writer, part) < ENOUGH
    assert (await gateway.call("GET", "/healthz", token="")).status == 200


async def test_a_header_that_is_too_large_is_told_so(gateway: Running) -> None:
    """431, in words."""
    async with connected(gateway) as (reader, writer):
        writer.write(GET)
        for _ in range(2):
            # Apart, as a client that reads answers meanwhile would send them.
            writer.write(b"X-Field: " + b"x" * LARGEST_HEAD + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.1)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"fewer or shorter fields" in answer


async def test_many_requests_at_once_are_no_large_header(gateway: Running) -> None:
    """What one client sends before it reads an answer is counted for each request by itself."""
    request, many = GET + b"X-Field: " + b"x" * 1000 + b"\r\n", 3 * LARGEST_HEAD // 1000
    async with connected(gateway) as (reader, writer):
        writer.write((request + b"\r\n") * many + request)
        await asyncio.sleep(0.1)
        writer.write(b"Connection: close\r\n\r\n")
        answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == many + 1


async def test_who_hangs_up_in_the_middle_is_no_defect(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A wish that was sent in part is counted as its client's, not as ours, and leaves no traceback."""

    def counted(status: int) -> float:
        labels = {"method": "POST", "route": "/v1/uploads", "status": f"{status}"}
        return REGISTRY.get_sample_value("tidegate_http_requests_total", labels) or 0

    before, defects = counted(499), counted(500)
    async with connected(gateway) as (_, writer):
        head = f"POST /v1/uploads HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {gateway.token()}\r\n"
        writer.write(head.encode() + b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
    async with asyncio.timeout(10):
        while counted(499) + counted(500) == before + defects:  # noqa: ASYNC110 -- figures say nothing when they change
            await asyncio.sleep(0.01)
    assert counted(500) == defects
    assert "Traceback" not in caplog.text


async def test_balancers_close_first(gateway: Running) -> None:
    """A connection is kept longer than balancers keep one: the next request of theirs never meets a closed one."""
    assert gateway.server.config.timeout_keep_alive > 120


async def test_who_says_nothing_is_not_waited_for(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request, or with a part of one, ends; one between two requests is kept."""
    monkeypatch.setattr("gateway.connection.HEAD_SECONDS", 0.2)
    for begun in (b"", GET):
        async with connected(gateway) as (reader, writer):
            writer.write(begun)
            assert await reader.read() == b""
    async with connected(gateway) as (reader, writer):
        for _ in range(2):
            writer.write(GET + b"\r\n")
            assert b"200 OK" in await reader.readuntil(b'ok"}')
            await asyncio.sleep(0.4)
