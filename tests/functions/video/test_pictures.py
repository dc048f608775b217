"""`take_poster`, `draw_storyboard` and `encode_progressive` at work: run again, and beside a video that is broken."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from schemas.profiles import VideoProfile
from tests.samples import av, videos
from tests.system import System, provisioned, working

PROFILE = VideoProfile(
    stream="none", poster="required", storyboard="optional", progressive="optional", progressive_preset="ultrafast"
)
FUNCTIONS = {"poster": "take_poster", "storyboard": "draw_storyboard", "progressive": "encode_progressive"}
PATIENCE = 120.0


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack, video=PROFILE) as provided:
        yield provided


async def test_running_twice_is_running_once(system: System) -> None:
    """The same names and the same bytes, told in the order in which they can be used."""
    async with working(system, video=PROFILE):
        media_id = await system.upload(videos.video("hevc.mov"), "video/quicktime")
        assert event_name(await system.ended(media_id, PATIENCE)) == "ready"
        keys = await _made(system, media_id)
        promoted = await system.happens(media_id, "promoted")
        runs = [await system.replay(function, promoted) for function in FUNCTIONS.values()]
        for run in runs:
            await system.happens(media_id, "done", run, PATIENCE)
        assert await _made(system, media_id) == keys
    made: dict[str, list[Any]] = {product: [] for product in FUNCTIONS}
    for event in await system.events(media_id):
        if event_name(event) == "done":
            made[event["data"]["product"]].append(event["data"]["renditions"])
    for first, again in made.values():
        assert first == again
    names = {rendition["name"] for first, _ in made.values() for rendition in first}
    assert names == {"poster.jpg", "poster.webp", "storyboard.jpg", "storyboard.vtt", "progressive.mp4"}


async def _made(system: System, media_id: str) -> list[str]:
    return [key for key in await system.keys(media_id) if key.startswith("permanent/")]


async def test_a_broken_video_harms_nobody(system: System) -> None:
    """Half of its packets are noise: of each product there is a word, with a code if there is no more; others go on."""
    source = f"{videos.shot(seconds=4)},{videos.yuv()}"
    good = av.made("good.mp4", "-f", "lavfi", "-i", source, *videos.X264, "-g", "25")
    begin = good.index(b"mdat") + 4
    size = int.from_bytes(good[begin - 8 : begin - 4], "big") - 8
    broken = good[: begin + size // 8] + b"\xa5" * (size - size // 8) + good[begin + size :]
    async with working(system, video=PROFILE):
        other = await system.upload(broken, "video/mp4")
        media_id = await system.upload(good, "video/mp4")
        for each in (media_id, other):
            assert event_name(await system.ended(each, PATIENCE)) == "ready"
        outcomes = {name: event_name(told) for name, told in (await system.fold(other)).products().items() if told}
    assert set(outcomes) == set(FUNCTIONS)
    assert set(outcomes.values()) <= {"done", "skipped"}
    assert outcomes["poster"] == "done"
