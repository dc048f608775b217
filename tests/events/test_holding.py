"""A dependency that is down costs time and nothing else: deliveries are held, not failed."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from events.bus import BusDown
from events.dependencies import Dependencies
from events.errors import Unavailable, reason
from events.registry import Registry, function
from tests.events.domain import FAST, Elsewhere, Sent, Switch, Weighed, on_both, post, until
from tests.events.servers import eventually

SHORT = replace(FAST, ack_wait=0.5)


def weighing(registry: Registry, scale: Switch, runs: list[str], *, error: type[Exception] | None = None) -> None:
    """Register `weigh`, which needs the scale, and `look`, which needs nothing."""

    @function(on=Sent, into=registry, concurrency=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        if not scale.up:
            raise error() if error else Unavailable("scale", "no answer")
        return Weighed(parcel=event.parcel)

    @function(on=Weighed, into=registry)
    async def look(event: Weighed, ctx: Any) -> None: ...


def held() -> float:
    """How many deliveries of `weigh` wait for the scale, in this process."""
    return REGISTRY.get_sample_value("tidegate_held", {"function": "weigh", "dependency": "scale"}) or 0.0


@pytest.mark.parametrize("error", [None, Elsewhere])
@on_both
async def test_held_until_the_dependency_answers(kind: str, error: type[Exception] | None, tmp_path: Path) -> None:
    """Held for many times `ack_wait`, a delivery comes to nobody else, counts no attempt, and is done afterwards."""
    registry, scale, runs = Registry(), Switch(up=False), list[str]()
    weighing(registry, scale, runs, error=error)
    async with post(
        kind, tmp_path, registry, policy=SHORT, workers=2, told={"probes": {"scale": scale.probe}}
    ) as place:
        await place.send("p1")
        # It pauses for 0.1, 0.2, 0.4, 0.8 seconds between probes: by now ack_wait was over three times.
        await eventually(lambda: scale.probes >= 5, "five probes")
        assert runs == ["p1"]
        assert any(worker.dependencies.down == frozenset({"scale"}) for worker in place.workers)
        assert await place.trial("weigh", 1) is None
        scale.up = True
        await place.event("weighed", "p1")
        await place.settled()
        assert runs == ["p1", "p1"]
        assert await place.letters() == []
        assert await place.trial("weigh", 1) is None


@on_both
async def test_fetching_stops_for_this_function_alone(kind: str, tmp_path: Path) -> None:
    """No more than its slots are tried while one is held, and one probe serves them all; other functions go on."""
    registry, scale, runs = Registry(), Switch(up=False), list[str]()
    weighing(registry, scale, runs)
    others: list[str] = []

    @function(on=Sent, into=registry)
    async def post_on(event: Sent, ctx: Any) -> None:
        others.append(event.parcel)

    async with post(kind, tmp_path, registry, policy=SHORT, told={"probes": {"scale": scale.probe}}) as place:
        parcels = [f"p{number}" for number in range(20)]
        await place.send(*parcels)
        await eventually(lambda: sorted(others) == sorted(parcels), "all posted on")
        await eventually(lambda: held() == 2, "both slots held")
        before = scale.probes
        await eventually(lambda: scale.probes >= before + 2, "two more probes")
        assert len(runs) == 2
        assert held() == 2
        scale.up = True
        await place.settled()
        assert {event["subject"] for event in await place.events("weighed")} == set(parcels)
        assert held() == 0


@on_both
async def test_probe_that_answers_at_once_blames_the_input(kind: str, tmp_path: Path) -> None:
    """If the dependency answers and the call fails, twice in a row, it counts as an attempt, and ends as one."""
    registry, scale, runs = Registry(), Switch(), list[str]()

    @function(on=Sent, into=registry, attempts=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        raise Unavailable("scale", "it only says so")

    async with post(kind, tmp_path, registry, told={"probes": {"scale": scale.probe}}) as place:
        await place.send("p1")
        await place.event("lost", "p1")
        (letter,) = await place.letters()
    assert len(runs) == 4
    assert scale.probes == 4
    assert (letter.error, letter.attempts) == ("Unavailable", 2)


@on_both
async def test_unknown_dependency_counts(kind: str, tmp_path: Path) -> None:
    """A dependency without a probe can't be waited for: what misses it is retried like any failure."""
    registry, runs = Registry(), list[int]()

    @function(on=Sent, into=registry, attempts=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        raise Unavailable("a scale nobody knows")

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.event("lost", "p1")
    assert len(runs) == 4


async def test_bus_that_is_down_is_a_dependency(tmp_path: Path) -> None:
    """A handler that asked the bus itself and got no answer is held like any other: it isn't the input's failure."""
    registry, runs = Registry(), list[int]()

    @function(on=Sent, into=registry, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        if len(runs) == 1:
            place.bus.down = True  # pyright: ignore[reportAttributeAccessIssue]  the bus in memory
            raise BusDown("no answer")
        return Weighed(parcel=event.parcel)

    async with post("memory", tmp_path, registry) as place:
        await place.send("p1")
        await eventually(lambda: place.workers[0].dependencies.down == frozenset({"nats"}), "nats found down")
        place.bus.down = False  # pyright: ignore[reportAttributeAccessIssue]
        await place.event("weighed", "p1")
        assert await place.letters() == []


@on_both
async def test_task_group_fails_for_its_reason(kind: str, tmp_path: Path) -> None:
    """A handler that does several things at once is held if what failed in all of them is unavailable."""
    registry, scale = Registry(), Switch(up=False)

    @function(on=Sent, into=registry, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        async def check() -> None:
            if not scale.up:
                raise Unavailable("scale")

        async with asyncio.TaskGroup() as group:
            group.create_task(check())
            group.create_task(check())
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, told={"probes": {"scale": scale.probe}}) as place:
        await place.send("p1")
        await eventually(lambda: scale.probes >= 2, "held")
        scale.up = True
        await place.event("weighed", "p1")
        assert await place.letters() == []


def test_reason_of_different_failures_is_all_of_them() -> None:
    """A task group that failed in several ways is a failure of ours, with all of them in its traceback."""
    alike = ExceptionGroup("", [Unavailable("scale"), ExceptionGroup("", [Unavailable("lamp")])])
    assert reason(alike) is alike.exceptions[0]
    mixed = ExceptionGroup("", [Unavailable("scale"), ValueError()])
    assert reason(mixed) is mixed
    assert isinstance(reason(ValueError()), ValueError)


@on_both
async def test_held_time_is_not_the_handlers(kind: str, tmp_path: Path) -> None:
    """Held for longer than the timeout, the next try has all of its time."""
    registry, scale, runs = Registry(), Switch(up=False), list[int]()

    @function(on=Sent, into=registry, timeout=0.5, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        if not scale.up:
            raise Unavailable("scale")
        await asyncio.sleep(0.3)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, told={"probes": {"scale": scale.probe}}) as place:
        await place.send("p1")
        await eventually(lambda: scale.probes >= 5, "held longer than the timeout")
        scale.up = True
        await place.event("weighed", "p1")
        assert await place.letters() == []
    assert len(runs) == 2


@on_both
async def test_held_is_handed_back_at_once_by_a_drain(kind: str, tmp_path: Path) -> None:
    """A process that stops doesn't wait for what is down: another process takes over what it held."""
    registry, scale, runs = Registry(), Switch(up=False), list[str]()
    weighing(registry, scale, runs)
    patient = replace(FAST, ack_wait=300, grace=300)
    async with post(kind, tmp_path, registry, policy=patient, told={"probes": {"scale": scale.probe}}) as place:
        await place.send("p1")
        await eventually(lambda: scale.probes >= 2, "held")
        await place.work()
        await place.workers.pop(0).drain()
        await eventually(lambda: len(runs) == 2, "taken over")
        scale.up = True
        await place.event("weighed", "p1")
        assert await place.letters() == []


async def test_one_probe_for_all_who_wait() -> None:
    """Fifty that wait for one dependency probe it no more often than one would; all go on when it answers."""
    scale = Switch(up=False)
    dependencies = Dependencies({"scale": scale.probe})
    waiting = [asyncio.create_task(dependencies.wait("scale")) for _ in range(50)]
    await eventually(lambda: scale.probes >= 3, "three probes")
    assert scale.probes < 10
    assert dependencies.down == frozenset({"scale"})
    scale.up = True
    assert await asyncio.gather(*waiting) == [False] * 50
    assert dependencies.down == frozenset()
    assert await dependencies.wait("scale") is True
    assert await dependencies.check() == {"scale": True}


async def test_who_waits_is_cancelled_at_the_end() -> None:
    """Closing ends waiting, and nobody begins to wait afterwards."""
    dependencies = Dependencies({"scale": Switch(up=False).probe})
    waiting = asyncio.create_task(dependencies.wait("scale"))
    await until(lambda: _is_down(dependencies), "found down")
    await dependencies.aclose()
    for late in (waiting, asyncio.create_task(dependencies.wait("scale"))):
        with pytest.raises(asyncio.CancelledError):
            await late


async def _is_down(dependencies: Dependencies) -> bool:
    return bool(dependencies.down)


async def test_probe_that_hangs_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dependency that takes the connection and says nothing is down."""
    monkeypatch.setattr("events.dependencies.PROBE_SECONDS", 0.05)

    async def hang() -> None:
        await asyncio.Future[None]()

    assert await Dependencies({"scale": hang}).check() == {"scale": False}
