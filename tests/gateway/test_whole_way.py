"""From upload to player and to nothing left: the gateway, every function and the real servers, as people meet them."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from events.registry import registry
from infra.context import Context
from infra.local.threaded import ThreadedStack
from schemas.events import Cut, Done, Encoded, Promoted
from schemas.profiles import ImageProfile, VideoProfile
from schemas.renditions import rendition_key
from tests.cli.running import tidegate
from tests.gateway.conftest import running
from tests.gateway.delivering import ffprobe
from tests.gateway.running import Running
from tests.gateway.test_players import addresses, text
from tests.samples import av
from tests.system import System, poll, provisioned, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMISING: dict[str, Any] = {
    "video": VideoProfile(stream="required", poster="required", storyboard="none"),
    "images": ImageProfile(sizes="required", description="optional"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(spare_stack: ThreadedStack) -> AsyncGenerator[System]:
    """The servers, provisioned."""
    async with provisioned(spare_stack, **PROMISING) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(system: System) -> AsyncGenerator[Running]:
    """A gateway in front of them."""
    async with running(system.stack) as one:
        yield one


async def uploaded(gateway: Running, name: str, content_type: str) -> str:
    """A file that a client uploaded."""
    body = av.media(name)
    ticket = (await gateway.upload(filename=name, content_type=content_type, size=len(body))).body
    async with gateway.http.put(ticket["url"], headers=ticket["headers"], data=body) as put:
        assert put.status == 200, await put.text()
    return ticket["media_id"]


async def test_a_video_is_played_and_then_removed(system: System, gateway: Running) -> None:
    """Its links play by FFmpeg itself; DELETE ends them at once and leaves no object, nor does what comes late."""
    async with working(system, **PROMISING):
        media_id = await uploaded(gateway, "plain.mp4", "video/mp4")
        await system.until(media_id, "ready", patience=120)
        body = (await gateway.status(media_id)).body
        assert {each["name"]: each["state"] for each in body["products"]} == {"stream": "done", "poster": "done"}
        assert body["descriptions"]["stream"]["frames"] == 25
        for entry in ("hls", "dash"):
            found = await asyncio.to_thread(ffprobe, body[entry])
            frames = {int(each["nb_read_packets"]) for each in found["streams"] if each["codec_type"] == "video"}
            assert frames == {25}
            assert any(each["codec_type"] == "audio" for each in found["streams"])
        poster = next(each for each in body["renditions"] if each["product"] == "poster")
        async with gateway.http.get(poster["url"]) as response:
            assert (response.status, len(await response.read())) == (200, poster["size"])
        master = await text(gateway, body["hls"])
        segments = addresses(await text(gateway, addresses(master, body["hls"])[0]), body["hls"])
        assert (await gateway.call("DELETE", f"/v1/media/{media_id}")).status == 202
        for link in (body["hls"], body["dash"], body["file"]):
            async with gateway.http.get(link) as response:
                assert response.status == 410
        await system.happens(media_id, "discarded")
        await poll(lambda: _left(system, media_id))
        for link in (poster["url"], body["original"]["url"], *segments):
            async with gateway.http.get(link) as response:
                assert response.status == 404
        promoted = await system.happens(media_id, "promoted")
        event = Promoted.model_validate(promoted["data"])
        await system.objects.put(rendition_key(media_id, "stream/seg-0-00001.m4s"), b"late", content_type="video/mp4")
        await system.objects.put(f"work/{media_id}/plan/0", b"late", content_type="video/mp4")
        late = Done(media=event.media, identity=event.identity, product="stream", required=True)
        await system.say(promoted, late, "package_video")
        await poll(lambda: _left(system, media_id))
    assert (await gateway.status(media_id)).body["state"] == "deleted"


async def _left(system: System, media_id: str) -> bool:
    """Whether nothing of a media is left but its record."""
    return all(key.startswith("records/") for key in await system.keys(media_id))


async def test_a_chunk_that_failed_is_retried_by_an_operator(system: System, gateway: Running) -> None:
    """One failure too many fails the media and says which product; `tidegate dead retry` makes it ready."""
    broken = True
    real = registry.functions["encode_chunk"].handler

    async def encode_chunk(event: Cut, ctx: Context) -> Encoded | None:
        """The real one, once the disk has room again."""
        if broken:
            raise OSError(28, "No space left on device")
        return await real(event, ctx)

    variables = system.stack.environment("operator")
    async with working(system, handlers={"encode_chunk": encode_chunk}, attempts=1, **PROMISING):
        media_id = await uploaded(gateway, "silent.mp4", "video/mp4")
        await system.until(media_id, "failed", patience=60)
        body = (await gateway.status(media_id)).body
        stream = next(each for each in body["products"] if each["name"] == "stream")
        assert (body["state"], stream["state"], stream["code"]) == ("failed", "failed", "error")
        assert "No space left" in stream["reason"]
        assert body["failures"][0]["function"] == "encode_chunk"
        told = await asyncio.to_thread(tidegate, "trace", media_id, "--json", variables=variables)
        assert (told.code, told.json["state"]) == (1, "failed")
        assert "without stream, which is required (encode_chunk gave up)" in told.json["why"]
        (letter,) = told.json["dead_letters"]
        assert letter["letter_id"] in told.json["why"]
        broken = False
        retried = await asyncio.to_thread(tidegate, "dead", "retry", letter["letter_id"], variables=variables)
        assert retried.code == 0, retried
        await system.until(media_id, "ready", patience=60)
    told = await asyncio.to_thread(tidegate, "trace", media_id, "--json", variables=variables)
    assert (told.code, told.json["state"], told.json["waits_for"]) == (0, "ready", [])
    assert {each["name"]: each["state"] for each in told.json["products"]} == {"stream": "done", "poster": "done"}
    shown = await asyncio.to_thread(tidegate, "trace", media_id, variables=variables)
    assert "stream/master.m3u8" in shown.out
    link = (await gateway.status(media_id)).body["hls"]
    found = await asyncio.to_thread(ffprobe, link)
    assert {int(each["nb_read_packets"]) for each in found["streams"]} == {25}
