"""Many files at once through a real `tidegate run`, by clients who don't give up."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench.profiles import NOTHING
from events.bus import BusError
from infra.local.process import Process
from infra.local.threaded import ThreadedStack
from infra.presign import PostForm, PresignedPut
from tests.faults.outcome import Expected, all_ended, dead, stored_twice
from tests.faults.points import ROOT
from tests.infra.servers import EICAR
from tests.samples.documents import unique_pdf
from tests.system import System, poll, provisioned

CLIENTS = 4
ANSWER_SECONDS = 5.0
"""How long a client waits for an answer before it tries again."""
TRIES_SECONDS = 240.0
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(200)

BURST: dict[str, Any] = {
    "ack_wait_seconds": 3.0,
    "retry_base_seconds": 0.1,
    "retry_max_seconds": 0.5,
    "sweep_seconds": 3.0,
    "sweep_min_age_seconds": 2.0,
    "decoder_processes": 1,
    "log_format": "json",
}
"""An upload whose answer was lost may have no notification: sweep is at work."""


@dataclass(slots=True)
class Burst:
    """Files on their way."""

    system: System
    directory: Path
    run: Process
    expected: dict[str, Expected] = field(default_factory=dict[str, Expected])
    _seeds: Iterator[int] = field(default_factory=itertools.count)
    _clients: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CLIENTS))

    async def upload(self, count: int) -> list[str]:
        """Upload this many files, a few at a time: two good ones for one that is infected or refused."""
        return await asyncio.gather(*(self._client(next(self._seeds)) for _ in range(count)))

    async def request(self, count: int, size: int = 20_000) -> list[tuple[str, PresignedPut | PostForm, bytes]]:
        """Request uploads of good files; nothing is sent yet."""
        wanted: list[tuple[str, PresignedPut | PostForm, bytes]] = []
        for _ in range(count):
            body = unique_pdf(next(self._seeds), size)
            media_id, where = await self.system.request(body)
            self.expected[media_id] = Expected("ready", (body,))
            wanted.append((media_id, where, body))
        return wanted

    async def ended(self, least: int) -> None:
        """Wait until this many files have ended: the others are on their way."""

        async def enough() -> bool:
            ends = ("ready", "rejected", "quarantined")
            found = await self.system.bus.last("MEDIA", [f"media.{name}.>" for name in ends])
            return len(found) >= least

        await poll(enough)

    async def all_ended(self, patience: float = 90.0) -> None:
        """Every file ends as it must, once, and nobody gave up on anything."""
        await all_ended(self.system, self.expected, patience)
        assert await dead(self.system) == []

    async def nothing_twice(self) -> None:
        """No event is stored twice: all was said within the duplicate window."""
        assert await stored_twice(self.system, self.expected) == {}

    async def health(self) -> dict[str, Any]:
        """What `tidegate health` says."""
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "health", "--json"),
            env=environment(self.system.stack.environment("operator"), {}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asked.communicate()
        assert output, errors.decode()
        return json.loads(output)

    async def _client(self, seed: int) -> str:
        async with self._clients:
            if seed % 6 == 1:
                body, expected, content_type = EICAR, Expected("quarantined", (EICAR,)), "text/plain"
            elif seed % 6 == 4:
                body, expected, content_type = PROGRAM, Expected("rejected"), "application/pdf"
            else:
                body = unique_pdf(seed, size=20_000)
                expected, content_type = Expected("ready", (body,)), "application/pdf"
            async with asyncio.timeout(TRIES_SECONDS):
                media_id, where = await self._requested(body, content_type)
                self.expected[media_id] = expected
                await self.sent(where, body)
            return media_id

    async def _requested(self, body: bytes, content_type: str) -> tuple[str, PresignedPut | PostForm]:
        while True:
            try:
                return await self.system.request(body, content_type)
            except BusError:
                await asyncio.sleep(0.2)

    async def sent(self, where: PresignedPut | PostForm, body: bytes) -> None:
        """Send until MinIO says that it has the file: 200, or 412 where an answer was lost."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    status = await self.system.send(where, body)
            except (aiohttp.ClientError, OSError, TimeoutError):
                status = 503
            if status in {200, 412}:
                return
            assert status >= 500, status
            await asyncio.sleep(0.2)


@asynccontextmanager
async def bursting(stack: ThreadedStack, directory: Path, **changes: Any) -> AsyncGenerator[Burst]:
    """A provisioned stack with a `tidegate run` of its own."""
    told = BURST | changes
    # A profile's fields are the worker's alone.
    async with provisioned(stack, **{name: value for name, value in told.items() if "__" not in name}) as system:
        run = worker(stack, directory, told)
        try:
            await run.start()
            yield Burst(system, directory, run)
        finally:
            await run.stop()


def worker(stack: ThreadedStack, directory: Path, told: Mapping[str, Any], name: str = "run") -> Process:
    """A `tidegate run` of all functions."""
    ready = directory / f"{name}.ready"

    async def forget() -> None:
        ready.unlink(missing_ok=True)

    async def bound() -> bool:
        return ready.exists()

    return Process(
        name,
        [sys.executable, "-m", "cli", "run", "--ready-file", str(ready)],
        log_file=directory / f"{name}.log",
        before=forget,
        ready=bound,
        environment=environment(stack.environment("functions"), told),
        stop_seconds=30,
    )


def environment(role: Mapping[str, str], told: Mapping[str, Any]) -> dict[str, str]:
    """A process's whole environment: a role's variables and what the test says; nothing is promised that it doesn't."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    variables = {f"TIDEGATE_{name.upper()}": str(value) for name, value in told.items()}
    return {**kept, **role, **NOTHING, **variables, "PYTHONPATH": str(ROOT)}
