"""Stopping a process: what can finish finishes, the rest is handed back at once, and nothing keeps it from ending."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from events.registry import Registry, function
from events.worker import Worker
from tests.events.domain import FAST, Sent, Weighed, counted, on_both, post
from tests.events.servers import eventually

PATIENT = replace(FAST, ack_wait=300.0, grace=0.3)


@on_both
async def test_finished_is_acknowledged_and_the_rest_handed_back(kind: str, tmp_path: Path) -> None:
    """Within the grace period handlers finish; who doesn't is handed back, and another process has it at once."""
    registry, runs = Registry(), list[str]()
    finish = asyncio.Event()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        if event.parcel == "endless" and runs.count("endless") == 1:
            await asyncio.Future[None]()
        await finish.wait()
        return Weighed(parcel=event.parcel)

    handed = counted("weigh", "handed_back")
    async with post(kind, tmp_path, registry, policy=PATIENT) as place:
        await place.send("p1", "endless")
        await eventually(lambda: len(runs) == 2, "both running")
        draining = asyncio.create_task(place.workers.pop().drain())
        finish.set()
        await draining
        assert [event["subject"] for event in await place.events("weighed")] == ["p1"]
        assert counted("weigh", "handed_back") == handed + 1
        await place.work()
        await place.event("weighed", "endless")
        await place.settled()
        assert await place.letters() == []
    assert runs.count("p1") == 1


@on_both
async def test_lingering_batch_is_handed_back(kind: str, tmp_path: Path) -> None:
    """What waits for its batch to fill up is handed back as well."""
    registry, batches = Registry(), list[int]()

    @function(on=Sent, into=registry, batch=100, linger=300)
    async def record(events: list[Any], ctx: Any) -> None:
        batches.append(len(events))

    async with post(kind, tmp_path, registry, policy=PATIENT) as place:
        await place.send("p1", "p2")
        (runner,) = place.workers[0].runners
        await eventually(lambda: runner.running == 2, "both waiting")
        await place.workers.pop().drain()
        place.functions[0] = replace(place.functions[0], linger=0.05)
        await place.work()
        await place.settled()
    assert sum(batches) == 2


@on_both
async def test_stubborn_handler_does_not_keep_the_process(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that ignores its cancellation can't keep a process from ending; its input is handed back."""
    monkeypatch.setattr("events.patience.STOP_SECONDS", 0.1)
    registry, runs, enough = Registry(), list[int](), asyncio.Event()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        while len(runs) == 1 and not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                continue
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, policy=PATIENT) as place:
        await place.send("p1")
        await eventually(lambda: bool(runs), "running")
        async with asyncio.timeout(10):
            await place.workers.pop().drain()
        await place.work()
        await place.event("weighed", "p1")
        enough.set()


@on_both
async def test_nothing_is_taken_after_the_drain(kind: str, tmp_path: Path) -> None:
    """A drained process takes nothing more; what comes later stays for others."""
    registry, runs = Registry(), list[str]()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, policy=PATIENT) as place:
        await place.send("p1")
        await place.settled()
        await place.workers[0].drain()
        await place.send("p2")
        (state,) = await place.bus.state("MEDIA")
        assert (state.pending, state.unacknowledged) == (1, 0)
        await place.work()
        await place.settled()
    assert runs == ["p1", "p2"]


async def test_drain_without_a_bus_ends(tmp_path: Path) -> None:
    """A process can stop while the bus is away, though it has something to say to it."""
    registry, runs, go_on = Registry(), list[int](), asyncio.Event()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        await go_on.wait()
        return Weighed(parcel=event.parcel)

    async with post("memory", tmp_path, registry, policy=PATIENT) as place:
        await place.send("p1")
        await eventually(lambda: bool(runs), "running")
        place.bus.down = True  # pyright: ignore[reportAttributeAccessIssue]  the bus in memory
        go_on.set()
        async with asyncio.timeout(10):
            await place.workers.pop().drain()
        place.bus.down = False  # pyright: ignore[reportAttributeAccessIssue]


@on_both
async def test_run_works_until_it_is_told_to_stop(kind: str, tmp_path: Path) -> None:
    """`Worker.run` starts, works, and drains when the event is set; what it does can be seen meanwhile."""
    registry, stop = Registry(), asyncio.Event()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, workers=0) as place:
        worker = Worker(place.bus, place.application, place.functions, FAST)
        running = asyncio.create_task(worker.run(stop))
        await place.send("p1")
        await place.event("weighed", "p1")
        (runner,) = worker.runners
        assert runner.bound
        stop.set()
        await running
        assert runner.running == 0
