"""SIGKILL at every point between two side effects of every function, then redelivery: running twice is running once.

The points are enumerated from the code; each kills the process that reaches it first, with everything else that was
going on in it. Once within the streams' duplicate window, where NATS swallows what is said twice, and once with every
redelivery outside it, where functions see it twice.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.profiles import NOTHING
from cli.application import subject
from events.dead import letters, retry
from events.envelope import HEADERS, begin, derive_id
from events.registry import load, registry
from events.ticks import Ticker
from infra.local.process import Process
from infra.local.threaded import ThreadedStack
from schemas.events import Deleted
from schemas.media import Media
from tests.faults.outcome import Expected, all_ended, dead, quiet, stored_twice
from tests.faults.points import ROOT, points, unguarded, unreachable
from tests.infra.servers import EICAR
from tests.samples.documents import unique_pdf
from tests.system import System, poll, provisioned

ACK_WAIT_SECONDS = 1.5
SLOT_SECONDS = 10 * 365 * 86400.0
"""Between two ticks of a process's own: the test gives them."""
SLOT = int(time.time() // SLOT_SECONDS)
SETTINGS: dict[str, Any] = {
    "ack_wait_seconds": ACK_WAIT_SECONDS,
    "retry_base_seconds": 0.1,
    "retry_max_seconds": 0.2,
    "attempts": 3,
    "sweep_seconds": SLOT_SECONDS,
    "sweep_min_age_seconds": 0.2,
    "abandoned_after_seconds": 0.2,
    "decoder_processes": 1,
    "log_format": "json",
}
WAY = tuple(function.name for function in load() if not function.products)
"""The functions on the way to `promoted`, and those that follow every media: what makes products has its own test."""
FAILING = frozenset({"counted", "buried", "announced", "forgotten"})
"""Points that a delivery reaches by failing alone."""
WINDOWS = pytest.mark.parametrize("window", [600.0, 0.1], ids=["within the window", "outside the window"])


@dataclass(slots=True)
class Campaign:
    """Victims, what they are told, and the files they work on."""

    system: System
    directory: Path
    expected: dict[str, Expected] = field(default_factory=dict[str, Expected])
    poison: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _made: int = 0

    @property
    def died(self) -> set[str]:
        """Points at which a process died so far."""
        path = self.directory / "died"
        return set(path.read_text().split()) if path.exists() else set()

    def poisons(self, poison: dict[str, list[str]]) -> None:
        """Let functions fail on these from now on, and on no others."""
        self.poison = poison
        draft = self.directory / "poison.new"
        draft.write_text(json.dumps(poison))
        draft.replace(self.directory / "poison.json")

    async def good(self, poison: str | None = None) -> str:
        """Upload a PDF that must be ready; when a function is told to fail on it, after a retry."""
        self._made += 1
        body = unique_pdf(self._made, size=20_000)
        media_id, where = await self.system.request(body)
        also = frozenset[str]()
        if poison:
            self.poisons(self.poison | {poison: [*self.poison.get(poison, []), media_id]})
            also = frozenset({"failed"} if poison in {"identify", "scan", "probe", "promote"} else ())
        assert await self.system.send(where, body) == 200
        self.expected[media_id] = Expected("ready", (body,), also)
        return media_id

    async def eicar(self) -> None:
        """Upload what must be quarantined."""
        media_id = await self.system.upload(EICAR, "text/plain")
        self.expected[media_id] = Expected("quarantined", (EICAR,))

    async def refused(self) -> None:
        """Upload what must be rejected."""
        media_id = await self.system.upload(b"\x7fELF\x02\x01\x01" + bytes(200))
        self.expected[media_id] = Expected("rejected")

    async def overwritten(self) -> None:
        """Upload twice by form: one version wins, whichever is worked on first."""
        first, second = b"the first version\n", b"another one\n"
        media_id, form = await self.system.request(first, "text/plain", form=True)
        for body in (first, second):
            assert await self.system.send(form, body) == 204
        self.expected[media_id] = Expected("ready", (first, second), suffix="txt")

    async def missed(self) -> None:
        """Upload a file of which no notification is left: sweep finds it. Nobody may be working yet."""
        media_id = await self.good()

        async def both() -> list[int]:
            found = [each async for each in self.system.bus.read("UPLOADS", ["minio.>"])]
            mine = [each.sequence for each in found if media_id.encode() in each.data]
            return mine if len(mine) == 2 else []

        for sequence in await poll(both):
            await self.system.bus.delete("UPLOADS", sequence)

    async def never_sent(self) -> None:
        """Request an upload and send nothing."""
        media_id, _ = await self.system.request(b"never", "text/plain", expires=1)
        self.expected[media_id] = Expected("abandoned")

    async def delete(self, media_id: str) -> None:
        """Delete a ready file."""
        # Its process is killed again and again meanwhile.
        ready = await self.system.happens(media_id, "ready", patience=300)
        event = Deleted(media=Media.model_validate(ready["data"]["media"]), deleted_by="alice")
        envelope = begin(event, event_id=derive_id("deleted", media_id), source="gateway", lane="standard")
        await self.system.bus.publish(
            subject(event, envelope), envelope.encode(), message_id=envelope.id, headers=HEADERS
        )
        self.expected[media_id] = Expected("deleted", also=frozenset({"ready"}))

    async def wave(self) -> None:
        """One more file for every way there is, until every function has met everything."""
        await asyncio.gather(self.good(), self.good(), self.eicar(), self.refused(), self.overwritten())

    async def until_died(self, targets: set[str], patience: float = 100.0) -> None:
        """Wait until a process died at each of these points; more files come as long as one is missing.

        Args:
            targets: The points.
            patience: Seconds from one death to the next: how many a machine manages in a minute is its own affair.
        """
        died, deadline = set[str](), time.monotonic() + patience
        while missing := targets - self.died:
            if self.died != died:
                died, deadline = self.died, time.monotonic() + patience
            assert time.monotonic() < deadline, f"no process reached {sorted(missing)}"
            await asyncio.gather(self.good(), self.eicar())
            # The process may have died of something else while it counted a failure: there are more to count.
            for name in {name for name, _, point in map(_split, missing) if point in FAILING} - {"sweep"}:
                await self.good(name)
            # A tick replaces the one before it, also one that waits for its redelivery.
            await poll(self.system.swept)
            await self.system.tick()
            try:
                await poll(lambda: targets <= self.died, patience=2 * ACK_WAIT_SECONDS)
            except TimeoutError:
                continue

    async def letter(self, function: str, about: str, error: str = "Poisoned") -> bool:
        """Whether a function gave up on a file (or on a tick) for this reason."""
        return any(
            each.function == function and about in {each.about, str((each.event or {}).get("data", {}).get("slot"))}
            for each in await dead(self.system)
            if each.error == error
        )

    async def retry_all(self) -> None:
        """Give every dead letter's event to its function again, as an operator does."""
        async for stored, letter in letters(self.system.bus):
            await retry(self.system.bus, stored, letter, f"{stored.sequence}")


@asynccontextmanager
async def campaign(
    stack: ThreadedStack, directory: Path, targets: set[str], names: Sequence[str] = WAY, **changes: Any
) -> AsyncGenerator[tuple[Campaign, Process]]:
    """A provisioned stack, and victims (not started yet) that die once at each target."""
    settings = SETTINGS | changes
    directory.mkdir()  # noqa: ASYNC240  nobody else waits
    (directory / "targets.json").write_text(json.dumps(sorted(targets)))
    async with provisioned(stack, **settings) as system:
        started = Campaign(system, directory)
        started.poisons({})
        # Victims, which tick when they start, find their slot taken.
        await Ticker(system.bus, registry.functions["sweep"]).tick(SLOT)
        victims = Process(
            "victims",
            [sys.executable, "-m", "tests.faults.victim", str(directory), *names],
            log_file=directory / "victims.log",
            ready=lambda: _exists(directory / "running"),
            environment=environment(stack, settings),
            keep_alive=False,
        )
        try:
            yield started, victims
        finally:
            await victims.stop()


def environment(stack: ThreadedStack, settings: Mapping[str, Any]) -> dict[str, str]:
    """What a function process is told."""
    told = {f"TIDEGATE_{name.upper()}": str(value) for name, value in settings.items()}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, **stack.environment("functions"), **NOTHING, **told, "PYTHONPATH": str(ROOT)}


def of_the_way(found: set[str]) -> set[str]:
    """Of these points those in functions of the way."""
    return {point for point in found if _split(point)[0] in WAY}


def _split(point: str) -> tuple[str, str, str]:
    return point.partition(".")


async def _exists(path: Path) -> bool:
    return path.exists()  # noqa: ASYNC240  a stat


def test_side_effects_have_a_point_between_them() -> None:
    """In every function, and in the life of a delivery, two side effects have a point between them."""
    for path in (ROOT / "functions").rglob("*.py"):
        assert unguarded(path) == [], path
    # The handler runs between the two marks of a suspect, with points of its own.
    assert unguarded(ROOT / "events" / "delivery.py", "_save", "clear") == ["_alone: _save, _save"]
    # A publish that is followed by another was refused.
    assert unguarded(ROOT / "events" / "emit.py") == ["emit: publish, emit"]


def test_unreachable_points_are_points() -> None:
    """Nothing is excluded that isn't there, and every function is killed somewhere."""
    reachable = points() - set(unreachable())
    assert set(unreachable()) <= points()
    assert {point.partition(".")[0] for point in reachable} == {each.name for each in load()}
    assert all(f"{each.name}.{point}" in reachable for each in load() for point in ("taken", "handled", "acked"))


@WINDOWS
@pytest.mark.faults
async def test_killed_at_every_point(own_stack: ThreadedStack, tmp_path: Path, window: float) -> None:
    """Every file ends in one state, with one `promoted` id and the right bytes, wherever its functions are killed."""
    # Deliveries that are killed again and again must not be suspected here: the next test does that.
    suspects = {point for point in points() if point.endswith(".cleared")}
    targets = of_the_way(points() - set(unreachable()) - suspects)
    async with campaign(
        own_stack, tmp_path / "victims", targets, duplicate_window_seconds=window, suspect_after=1000
    ) as (run, victims):
        await run.never_sent()
        await run.missed()
        run.poisons({"sweep": [str(SLOT + 1)]})
        for name in set(WAY) - {"sweep"}:
            await run.good(name)
        deleted = await run.good()
        await run.wave()
        await victims.start()
        await run.delete(deleted)
        await run.until_died(targets - {"promote.withdrawn"})
        poisoned = run.poison
        for name, ids in poisoned.items():
            for about in ids:
                await poll(lambda name=name, about=about: run.letter(name, about), 60)

        # What was given up as its process died comes once more, and must fail once more.
        await poll(lambda: quiet(run.system, WAY), 60)
        run.poisons({})
        await tamper(run, poisoned["promote"][0])
        await run.until_died(targets)
        await run.retry_all()
        await run.system.tick()
        await all_ended(run.system, run.expected, working=WAY)
        assert await dead(run.system) == []
        if window > ACK_WAIT_SECONDS:
            assert await stored_twice(run.system, run.expected) == {}
        assert run.died == targets


async def tamper(run: Campaign, media_id: str) -> None:
    """Let `promote` copy a file that is not what was scanned: it takes the copy back, and the file is rejected."""
    probed = await run.system.happens(media_id, "probed")
    probed["data"]["object"]["sha256"] = "0" * 64
    run.expected[media_id] = Expected("rejected", also=frozenset({"failed"}))
    await run.system.replay("promote", probed)
    rejected = await run.system.happens(media_id, "rejected", patience=60)
    assert rejected["data"]["code"] == "changed"
    async for stored, letter in letters(run.system.bus):
        if letter.about == media_id:
            await run.system.bus.delete("DEAD", stored.sequence)
    assert f"permanent/{media_id}/original.pdf" not in await run.system.keys(media_id)


@WINDOWS
@pytest.mark.faults
async def test_suspects_are_killed_as_well(own_stack: ThreadedStack, tmp_path: Path, window: float) -> None:
    """A delivery that runs alone, since its process died with it, is killed once more when it is cleared of that."""
    targets = {f"{name}.{point}" for name in WAY for point in ("taken", "cleared")}
    async with campaign(own_stack, tmp_path / "victims", targets, duplicate_window_seconds=window, suspect_after=1) as (
        run,
        victims,
    ):
        await run.wave()
        await victims.start()
        await run.until_died(targets)
        await all_ended(run.system, run.expected, working=WAY)
        assert await dead(run.system) == []
        if window > ACK_WAIT_SECONDS:
            assert await stored_twice(run.system, run.expected) == {}
