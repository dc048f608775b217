"""Each server killed or frozen mid-burst: nobody gives up on a file, everything ends, `health` names it."""

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from infra.local.threaded import Server, ThreadedStack
from schemas.document import event_name
from tests.faults.burst import Burst, bursting
from tests.system import poll

SERVERS = ("clamd", "mongo", "minio", "nats")
Fault = Literal["killed", "frozen"]
SHORT_SECONDS, LONG_SECONDS = 15.0, 75.0
BEFORE, MEANWHILE = 15, 25

EACH_SERVER = pytest.mark.parametrize("name", SERVERS)
EACH_FAULT = pytest.mark.parametrize("fault", ["killed", "frozen"])


@EACH_FAULT
@EACH_SERVER
@pytest.mark.faults
async def test_burst_survives(own_stack: ThreadedStack, tmp_path: Path, name: str, fault: Fault) -> None:
    """A server that is away for 15 seconds costs 15 seconds, and no file."""
    async with bursting(own_stack, tmp_path) as burst:
        await outage(burst, name, fault, SHORT_SECONDS)


@EACH_FAULT
@EACH_SERVER
@pytest.mark.slow_faults
async def test_burst_survives_long(own_stack: ThreadedStack, tmp_path: Path, name: str, fault: Fault) -> None:
    """A server that is away for more than a minute costs no file either."""
    async with bursting(own_stack, tmp_path) as burst:
        await outage(burst, name, fault, LONG_SECONDS)


async def outage(burst: Burst, name: str, fault: Fault, seconds: float) -> None:
    """A burst with a server away in its middle."""
    server: Server = getattr(burst.system.stack, name)
    early = asyncio.create_task(burst.upload(BEFORE))
    await burst.ended(3)
    back = asyncio.get_running_loop().time() + seconds
    if fault == "killed":
        await server.kill()
    else:
        server.freeze()
    late = asyncio.create_task(burst.upload(MEANWHILE))
    health = await burst.health()
    assert name in health["down"], health
    assert not health["healthy"]
    # What the outage is: so many seconds without an answer.
    await asyncio.sleep(back - asyncio.get_running_loop().time())
    unscanned = await scanned(burst) if name == "clamd" else 0
    if fault == "killed":
        await server.start()
    else:
        server.thaw()
        await server.wait_ready()
    await asyncio.gather(early, late)
    await burst.all_ended()
    if name == "clamd":
        assert unscanned < BEFORE + MEANWHILE
    await burst.nothing_twice()
    await poll(lambda: answers(burst, name))


async def scanned(burst: Burst) -> int:
    """How many files went through the scanner so far."""
    return len(await burst.system.bus.last("MEDIA", ["media.scanned.>"]))


async def answers(burst: Burst, name: str) -> bool:
    """Whether `health` finds the server up again."""
    return name not in (await burst.health())["down"]


@pytest.mark.faults
async def test_nats_away_for_longer_than_the_window(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """NATS forgets what it was told before it was killed: every file has one `promoted` id all the same."""
    async with bursting(own_stack, tmp_path, duplicate_window_seconds=1.0) as burst:
        uploading = asyncio.create_task(burst.upload(40))
        await burst.ended(5)
        for _ in range(2):
            await own_stack.nats.kill()
            await asyncio.sleep(3)
            await own_stack.nats.start()
        await uploading
        await burst.all_ended()


@pytest.mark.faults
async def test_uploads_go_on_without_nats(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """With NATS away and nobody sweeping, MinIO takes uploads; all of them arrive through its durable target."""
    async with bursting(own_stack, tmp_path, duplicate_window_seconds=1.0, sweep_min_age_seconds=3600) as burst:
        wanted = await burst.request(20)
        await own_stack.nats.kill()
        statuses = await asyncio.gather(*(burst.system.send(where, body) for _, where, body in wanted))
        assert set(statuses) == {200}
        await asyncio.sleep(3)
        await own_stack.nats.start()
        for media_id, _, _ in wanted:
            assert event_name(await burst.system.ended(media_id)) == "ready"
        await burst.all_ended()
        told = [stored.subject async for stored in burst.system.bus.read("UPLOADS", ["minio.>"])]
        assert set(told) == {"minio.durable"}
