"""Real processes on real NATS, killed, stopped and cut off: nothing is lost and nobody innocent is blamed."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.events.domain import Post, post, until
from tests.events.process import POLICY, registered


@dataclass(slots=True)
class Running:
    """A process that works on parcels."""

    process: asyncio.subprocess.Process

    async def killed(self) -> None:
        """Return when it was killed."""
        assert await asyncio.wait_for(self.process.wait(), 90) == -signal.SIGKILL

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)


@asynccontextmanager
async def process(place: Post) -> AsyncGenerator[Running]:
    """A started process, gone afterwards."""
    assert place.server is not None
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.events.process", place.server.url),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert started.stdout is not None
    try:
        while line := await asyncio.wait_for(started.stdout.readline(), 30):
            if line == b"ready\n":
                break
        drained = asyncio.create_task(started.stdout.read())
        yield Running(started)
        drained.cancel()
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def test_kill_9_changes_nothing(tmp_path: Path) -> None:
    """Killed with its hands full, a process loses nothing: the next one does the same work under the same ids."""
    async with post("nats", tmp_path, registered(), policy=POLICY, workers=0) as place:
        parcels = [f"p{number}" for number in range(10)]
        sent = await place.send(*parcels, note="slow")
        async with process(place) as first:
            await until(lambda: _unacknowledged(place, 10), "all in flight")
            first.signal(signal.SIGKILL)
            await first.killed()
        async with process(place):
            await place.settled()
        weighed = await place.events("weighed")
        assert {event["causationid"] for event in weighed} == {each.id for each in sent}
        assert len({event["id"] for event in weighed}) == 10
        assert await place.letters() == []


async def test_only_the_killer_is_blamed(tmp_path: Path) -> None:
    """Of ten inputs one kills its process whenever it runs: it alone is dead-lettered, and the nine are done."""
    async with post("nats", tmp_path, registered(), policy=POLICY, workers=0) as place:
        good = [f"p{number}" for number in range(9)]
        await place.send(*good[:4])
        await place.send("killer", note="kill")
        await place.send(*good[4:])
        deaths = 0
        settled = asyncio.create_task(place.settled(seconds=90))
        while not settled.done():
            async with process(place) as running:
                dying = asyncio.create_task(running.killed())
                await asyncio.wait((dying, settled), return_when=asyncio.FIRST_COMPLETED)
                deaths += dying.done()
                dying.cancel()
            assert deaths < 10
        await settled
        (letter,) = await place.letters()
        assert (letter.about, letter.error, letter.attempts) == ("killer", "GaveUp", 0)
        assert {event["subject"] for event in await place.events("weighed")} == set(good)
        assert [event["subject"] for event in await place.events("lost")] == ["killer"]
        assert deaths == POLICY.suspect_after + 1


async def test_sigterm_hands_back_what_is_not_finished(tmp_path: Path) -> None:
    """Stopped, a process finishes what it can and hands back the rest at once; another one has it before ack_wait."""
    patient = POLICY.__class__(ack_wait=300, grace=POLICY.grace)
    async with post("nats", tmp_path, registered(), policy=patient, workers=0) as place:
        async with process(place) as first:
            await place.send("slow", note="slow")
            await place.send("endless", note="wait")
            await until(lambda: _unacknowledged(place, 2), "both in flight")
            first.signal(signal.SIGTERM)
            assert await asyncio.wait_for(first.process.wait(), 20) == 0
        assert [event["subject"] for event in await place.events("weighed")] == ["slow"]
        async with process(place):
            await until(lambda: _redelivered(place), "the rest taken by another process")
        assert await place.letters() == []


async def test_sigterm_in_a_burst_loses_nothing(tmp_path: Path) -> None:
    """Stopped while messages are on their way to it, a process hands back those as well: another one does them soon."""
    patient = POLICY.__class__(ack_wait=300, grace=POLICY.grace)
    async with post("nats", tmp_path, registered(), policy=patient, workers=0) as place:
        sending = asyncio.create_task(place.send(*(f"p{number}" for number in range(150))))
        async with process(place) as first:
            await until(lambda: _weighed(place, 20), "some weighed")
            first.signal(signal.SIGTERM)
            async with process(place):
                assert await asyncio.wait_for(first.process.wait(), 20) == 0
                await sending
                await place.settled()
        assert len(await place.events("weighed")) == 150
        assert await place.letters() == []


async def test_refused_credentials_end_the_process(tmp_path: Path) -> None:
    """When NATS closes the connection for good the process ends with an exit code that says so, and hangs nowhere."""
    async with post("nats", tmp_path, registered(), policy=POLICY, workers=0) as place:
        assert place.server is not None
        async with process(place) as running:
            await place.send("endless", note="wait")
            await until(lambda: _unacknowledged(place, 1), "in flight")
            place.server.kill()
            place.server.change_password()
            place.server.start()
            assert await asyncio.wait_for(running.process.wait(), 60) == 3


async def _unacknowledged(place: Post, count: int) -> bool:
    (state,) = await place.bus.state("MEDIA")
    return state.unacknowledged == count


async def _redelivered(place: Post) -> bool:
    (state,) = await place.bus.state("MEDIA")
    return state.redelivered > 0 and state.unacknowledged > 0


async def _weighed(place: Post, count: int) -> bool:
    return len(await place.events("weighed")) >= count
