"""Large files through the gateway: no faster than they are taken, and nothing left behind when it ends early."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from gateway import download
from gateway.server import GRACE_SECONDS
from infra import objects
from infra.local.threaded import ThreadedStack
from tests.gateway.conftest import running
from tests.gateway.delivering import Delivered
from tests.gateway.running import Running
from tests.gateway.test_media import recorded
from tests.system import poll

MIB = 1024 * 1024
BODY = hashlib.shake_256(b"a large file").digest(48 * MIB)
# What sockets, aiohttp and uvicorn hold for one client, all buffers full.
HELD = 12 * MIB
CHUNKS = "_chunks"


class Reading:
    """What the gateway has read from MinIO, and whether it still reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        self.open = 0
        real = getattr(objects, CHUNKS)

        async def counted(response: Any) -> AsyncGenerator[bytes]:
            self.open += 1
            try:
                async for chunk in real(response):
                    self.bytes += len(chunk)
                    yield chunk
            finally:
                self.open -= 1

        monkeypatch.setattr(objects, CHUNKS, counted)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    """What is read."""
    return Reading(monkeypatch)


async def large(gateway: Running, stack: ThreadedStack) -> Delivered:
    """A media with a large original."""
    return await Delivered.of(gateway, stack, "video/mp4", BODY)


async def rest(answer: aiohttp.ClientResponse, into: bytearray) -> None:
    """What else comes of a body."""
    async for chunk in answer.content.iter_any():
        into += chunk


async def test_nothing_is_read_that_nobody_takes(
    gateway: Running, provisioned: ThreadedStack, reading: Reading
) -> None:
    """While a client doesn't read, the gateway holds a few megabytes of the file; then it gets all of it."""
    one = await large(gateway, provisioned)
    url = (await gateway.call("GET", one.path("/files/original"), allow_redirects=False)).headers["location"]
    headers = {"Authorization": f"Bearer {gateway.token()}"}
    async with gateway.http.get(f"{gateway.url}{one.path('/files/original?redirect=false')}", headers=headers) as slow:
        digest = hashlib.sha256(await slow.content.readexactly(1))
        # Meanwhile somebody else gets it whole from MinIO: as long as the gateway would need.
        async with gateway.http.get(url) as direct:
            assert len(await direct.read()) == len(BODY)
        assert 0 < reading.bytes < HELD
        async for chunk in slow.content.iter_any():
            digest.update(chunk)
    assert digest.digest() == hashlib.sha256(BODY).digest()
    assert reading.bytes == len(BODY)


async def test_who_leaves_early_leaves_nothing_open(
    gateway: Running, provisioned: ThreadedStack, reading: Reading
) -> None:
    """A client that goes away in the middle ends the reading from MinIO."""
    one = await large(gateway, provisioned)
    headers = {"Authorization": f"Bearer {gateway.token()}"}
    async with aiohttp.ClientSession() as http:
        answer = await http.get(f"{gateway.url}{one.path('/files/original?redirect=false')}", headers=headers)
        await answer.content.readexactly(1)
        assert reading.open == 1
        answer.close()
    await poll(lambda: not reading.open)
    assert reading.bytes < len(BODY)


async def test_a_download_that_was_cut_off_is_resumed(
    gateway: Running, provisioned: ThreadedStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """MinIO restarts in the middle: the client sees that it isn't whole, asks for the rest by its ETag, and has all."""
    one = await large(gateway, provisioned)
    headers = {"Authorization": f"Bearer {gateway.token()}"}
    url, got = f"{gateway.url}{one.path('/files/original?redirect=false')}", bytearray()
    async with gateway.http.get(url, headers=headers) as answer:
        got += await answer.content.readexactly(1)
        etag = answer.headers["etag"]
        await provisioned.minio.restart()
        with pytest.raises(aiohttp.ClientPayloadError):
            await rest(answer, got)
    assert 0 < len(got) < len(BODY)
    assert "download.interrupted" in capsys.readouterr().out
    async with gateway.http.get(url, headers=headers | {"Range": f"bytes={len(got)}-", "If-Range": etag}) as answer:
        assert answer.status == 206
        got += await answer.read()
    assert hashlib.sha256(got).digest() == hashlib.sha256(BODY).digest()


async def test_without_minio_it_says_so(provisioned: ThreadedStack) -> None:
    """What has to be asked of MinIO is a 503 that may be repeated; a redirect asks nobody."""
    async with running(provisioned, minio_url="http://127.0.0.1:9", minio_public_url="http://127.0.0.1:9") as gateway:
        one = await Delivered.of(gateway, provisioned, "video/mp4", b"film", promised=["stream"])
        await one.streamed()
        for path in ("/files/original?redirect=false", "/hls/master.m3u8", "/dash/manifest.mpd"):
            answer = await gateway.call("GET", one.path(path))
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        assert (await gateway.call("GET", one.path("/files/original"), allow_redirects=False)).status == 307


async def test_an_old_media_s_files_are_delivered(gateway: Running, provisioned: ThreadedStack) -> None:
    """What the stream has forgotten is known by its document; deleted since, it is gone all the same."""
    one = await Delivered.of(gateway, provisioned)
    await one.made("sizes", {"thumb.webp": b"webp"}, facts={"thumb": {"quality": "low"}})
    for stored in await recorded(gateway, provisioned, one.media_id):
        await gateway.operator.delete("MEDIA", stored.sequence)
    answer = await gateway.call("GET", one.path("/file?quality=low"))
    assert (answer.status, answer.body) == (200, b"webp")
    await one.deleted()
    assert (await gateway.call("GET", one.path("/file?quality=low"))).status == 410


async def test_an_empty_file_is_delivered(gateway: Running, provisioned: ThreadedStack) -> None:
    """A file without bytes is an answer without bytes; no part of it can be had."""
    one = await Delivered.of(gateway, provisioned)
    await one.made("waveform", {"waveform.json": b""})
    answer = await gateway.call("GET", one.path("/files/waveform.json?redirect=false"))
    assert (answer.status, answer.headers["content-length"]) == (200, "0")
    ranged = await gateway.call("GET", one.path("/files/waveform.json?redirect=false"), headers={"Range": "bytes=0-"})
    assert ranged.status == 416


async def test_a_download_does_not_hold_up_the_end(
    provisioned: ThreadedStack, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is asked to end while a client doesn't read: the download is cut off, and nothing is left."""
    assert download.LAST_BYTES_SECONDS < GRACE_SECONDS
    monkeypatch.setattr(download, "LAST_BYTES_SECONDS", 0.5)
    async with running(provisioned) as gateway:
        one = await large(gateway, provisioned)
        headers = {"Authorization": f"Bearer {gateway.token()}"}
        async with aiohttp.ClientSession() as http:
            answer = await http.get(f"{gateway.url}{one.path('/files/original?redirect=false')}", headers=headers)
            await answer.content.readexactly(1)
            gateway.server.should_exit = True
            async with asyncio.timeout(GRACE_SECONDS):
                await poll(lambda: not reading.open)
            answer.close()
