"""A video of nearly two gigabytes becomes a stream, and no Tidegate process or decoder grows beyond its bound."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bench.processes import descendants, reset_peak, usage
from infra.local.threaded import ThreadedStack
from infra.tokens import issue
from schemas.document import event_name
from tests.faults.burst import Burst, bursting
from tests.faults.test_large import gateway
from tests.system import poll

MIB = 1024 * 1024
BOUND = 600 * MIB
CHUNK = MIB
WATCH_SECONDS = 0.1
FFMPEG = frozenset({"ffmpeg", "ffprobe", "bwrap", "prlimit", "nice"})
TOLD = {
    "max_upload_bytes": 2047 * MIB,
    "sweep_seconds": 86_400,
    "decoder_processes": 2,
    "video__stream": "required",
    "video__poster": "required",
    "video__storyboard": "required",
}


@pytest.mark.slow_faults
async def test_large_video(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """1.9 GB of hardly packed 1080p: FFmpeg aside, nobody exceeds 600 MiB, and no temporary file is left."""
    film = tmp_path / "film.mkv"
    source = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=30", "-f", "lavfi", "-i", "sine"]
    raw = ["-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "-fs", str(1_900_000_000), str(film)]
    await asyncio.to_thread(subprocess.run, ["ffmpeg", "-nostdin", "-loglevel", "error", *source, *raw], check=True)
    size = film.stat().st_size
    assert size > 1_850_000_000
    spool = tmp_path / "spool"
    spool.mkdir()
    async with bursting(own_stack, tmp_path, **TOLD, work_dir=spool) as burst, gateway(own_stack, tmp_path) as door:
        peaks: dict[str, int] = {}
        watching = asyncio.create_task(_watch({"run": burst.run.pid, "gateway": door.pid}, peaks))
        media_id = await _upload(burst, film, size)
        terminal = await burst.system.until(media_id, "ready", "failed", "rejected", patience=1200)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        sys.stdout.write(f"{size} bytes: peaks in MiB { ({name: peak // MIB for name, peak in peaks.items()}) }\n")
        assert event_name(terminal) == "ready"
        assert max(peaks.values()) <= BOUND, peaks
        await poll(lambda: not list(spool.iterdir()))


async def _watch(named: dict[str, int], peaks: dict[str, int]) -> None:
    """Note the highest memory of each process and of its children, FFmpeg's programs aside."""
    for pid in named.values():
        reset_peak(pid)
    while True:
        for name, pid in named.items():
            peaks[name] = max(peaks.get(name, 0), usage(pid).peak)
            for child in descendants(pid):
                if _program(child) not in FFMPEG:
                    peaks[f"{name}'s children"] = max(peaks.get(f"{name}'s children", 0), usage(child).peak)
        await asyncio.sleep(WATCH_SECONDS)


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ffmpeg"


async def _upload(burst: Burst, film: Path, size: int) -> str:
    async def body() -> AsyncIterator[bytes]:
        with film.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    wish = {"filename": "film.mkv", "content_type": "video/x-matroska", "size": size}
    secret = burst.system.settings.jwt_secret.get_secret_value()
    headers = {"Authorization": f"Bearer {issue(secret, owner='alice', scopes=('upload',))}"}
    door = f"{burst.system.settings.gateway_url}/v1/uploads"
    async with burst.system.http.post(door, json=wish, headers=headers) as response:
        assert response.status == 201, await response.text()
        wanted = await response.json()
    patience = aiohttp.ClientTimeout(total=600)
    async with burst.system.http.put(
        wanted["url"], headers=wanted["headers"], data=body(), timeout=patience
    ) as response:
        assert response.status == 200, await response.text()
    return wanted["media_id"]
