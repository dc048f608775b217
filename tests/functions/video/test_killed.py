"""SIGKILL at work: one chunk is encoded again and no other, one packaging is done again, and nothing is left behind."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.local.process import Process
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from schemas.profiles import VideoProfile
from tests.infra.video.making import small
from tests.samples import videos
from tests.system import System, poll, provisioned, working

PATIENCE = 120.0
# A machine may be so busy that no heartbeat is heard for two seconds: what is at work would be begun once more.
WAIT = 6.0
ROOT = Path(__file__).parents[3]
STREAM = ("encode_chunk", "encode_audio", "package_video")
ONE_RUNG = VideoProfile(
    **{**dict(small()), "rungs": small().rungs[:1]}  # pyright: ignore[reportArgumentType]
)


@asynccontextmanager
async def victim(system: System, directory: Path, where: str) -> AsyncGenerator[Process]:
    """A worker that dies once, and is started again."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    spool = directory / "spool"
    spool.mkdir()
    told = {
        "TIDEGATE_ACK_WAIT_SECONDS": str(WAIT),
        "TIDEGATE_WORK_DIR": str(spool),
        "TIDEGATE_CPU_BUDGET": "1",
    }
    process = Process(
        "victim",
        [sys.executable, "-m", "tests.functions.video.worker", str(directory), where, *STREAM],
        log_file=directory / "log",
        environment=kept | system.stack.environment("functions") | told | {"PYTHONPATH": str(ROOT)},
    )
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


@pytest.mark.faults
@pytest.mark.parametrize("where", ["1", "package_video.segments", "package_video.master"])
async def test_one_piece_is_lost(stack: ThreadedStack, tmp_path: Path, where: str) -> None:
    """Killed in the second of three chunks, or between any two of its deeds: only what was not stored is done again."""
    async with provisioned(stack, video=ONE_RUNG, ack_wait_seconds=WAIT) as system:
        way = ["receive", "identify", "scan", "probe", "promote", "plan_video", "finish", "discard"]
        async with (
            working(system, way, video=ONE_RUNG, ack_wait_seconds=WAIT),
            victim(system, tmp_path, where),
        ):
            media_id = await system.upload(videos.made_long(), "video/mp4")
            await system.happens(media_id, "ready", patience=PATIENCE)
            await poll(lambda: _discarded(system, media_id))
        assert await _exists(tmp_path / "died")
        began = sorted((tmp_path / "encoding").read_text().split())
        assert began == (["0", "1", "1", "2"] if where == "1" else ["0", "1", "2"])
        names = [event_name(event) for event in await system.events(media_id)]
        assert names.count("failed") == names.count("skipped") == 0
        assert len({event["id"] for event in await system.events(media_id) if event_name(event) == "done"}) == 1
        assert [key for key in await system.keys(media_id) if key.startswith("work/")] == []
    # What the one that was killed had there, the next one removed; its own it removed as it went.
    assert await asyncio.to_thread(os.listdir, tmp_path / "spool") == []


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def _discarded(system: System, media_id: str) -> bool:
    events = await system.events(media_id)
    return any(event_name(each) == "discarded" and each["data"]["cause"] == "done" for each in events)
