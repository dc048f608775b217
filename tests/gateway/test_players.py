"""HLS and DASH as players get them: real players over HTTP, from the master playlist to the last packet."""

import asyncio

import pytest

from infra.local.threaded import ThreadedStack
from tests.gateway.conftest import running
from tests.gateway.delivering import Delivered, ffprobe
from tests.gateway.running import Running
from tests.samples.streams import FRAMES, RUNGS


async def video(gateway: Running, stack: ThreadedStack) -> Delivered:
    """A promoted video that promises a stream."""
    return await Delivered.of(gateway, stack, "video/mp4", b"\0\0\0\x18ftypmp42", promised=["stream"])


@pytest.mark.parametrize("delivery", ["redirect", "proxy"])
@pytest.mark.parametrize("entry", ["hls", "dash"])
async def test_a_player_plays_it(provisioned: ThreadedStack, delivery: str, entry: str) -> None:
    """With no header at all, FFmpeg finds every rung and the sound behind the link, and reads each frame once."""
    async with running(provisioned, delivery=delivery) as gateway:
        one = await video(gateway, provisioned)
        await one.streamed()
        link = (await one.status())[entry]
        found = await asyncio.to_thread(ffprobe, link)
    rungs = [each for each in found["streams"] if each["codec_type"] == "video"]
    assert {(each["width"], each["height"]) for each in rungs} == set(RUNGS)
    assert {int(each["nb_read_packets"]) for each in rungs} == {FRAMES}
    assert [each["codec_name"] for each in found["streams"] if each["codec_type"] == "audio"] == ["aac"]
