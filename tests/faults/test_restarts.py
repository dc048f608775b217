"""Workers that are killed and stopped in the middle of a burst: every file ends, once."""

import asyncio
from pathlib import Path

import pytest

from infra.local.threaded import ThreadedStack
from tests.faults.burst import BURST, bursting, worker

FILES = 60
KILLS = 5


@pytest.mark.faults
async def test_killed_again_and_again(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """`tidegate run` is killed five times during a burst; what it was doing is done by the next one."""
    # A file that is under way at every one of them is no suspect.
    async with bursting(own_stack, tmp_path, suspect_after=KILLS + 1) as burst:
        uploading = asyncio.create_task(burst.upload(FILES))
        for round_ in range(KILLS):
            await burst.ended(4 + 8 * round_)
            await burst.run.kill()
            await burst.run.start()
        await uploading
        await burst.all_ended()
        await burst.nothing_twice()


@pytest.mark.faults
async def test_stopped_in_turn(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """Two workers are restarted in turn during a burst, as in a deployment: each drains, and nothing is done twice."""
    async with bursting(own_stack, tmp_path) as burst:
        second = worker(own_stack, tmp_path, BURST, name="second")
        await second.start()
        try:
            uploading = asyncio.create_task(burst.upload(FILES))
            for round_, each in enumerate([burst.run, second] * 2):
                await burst.ended(4 + 10 * round_)
                await each.stop()
                await each.start()
            await uploading
            await burst.all_ended()
            await burst.nothing_twice()
        finally:
            await second.stop()
