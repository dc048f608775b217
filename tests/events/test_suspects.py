"""Deliveries that came again too often without a failure run alone, and die only if their process dies with them."""

import asyncio
from pathlib import Path
from typing import Any

from events.attempts import Attempts, Trial
from events.errors import Unavailable
from events.gate import Gate
from events.registry import Registry, function
from tests.events.domain import Post, Sent, Switch, Weighed, on_both, post, until
from tests.events.servers import eventually

TIMES = 4
"""Deliveries that ended in nothing: one more than `suspect_after`, counting the first."""


async def returned(place: Post, consumer: str, times: int = TIMES) -> None:
    """Let one delivery come to processes that die with it, so many times."""
    for _ in range(times):
        taken: list[Any] = []
        dying = await place.bus.subscribe("MEDIA", consumer, taken.append)
        dying.want(1)
        await eventually(lambda taken=taken: bool(taken), "taken by a process that dies")
        await dying.drain()
        await taken[0].nak()


@on_both
async def test_suspect_runs_alone_and_is_cleared(kind: str, tmp_path: Path) -> None:
    """While a suspect runs nobody else does; survived, it is done and nothing of it remains."""
    registry, go_on = Registry(), asyncio.Event()
    running: set[str] = set()
    together: list[set[str]] = []

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        running.add(event.parcel)
        together.append(set(running))
        if event.parcel == "suspect":
            await go_on.wait()
        running.discard(event.parcel)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, workers=0) as place:
        await place.send("suspect")
        await returned(place, "weigh")
        await place.work()
        await eventually(lambda: "suspect" in running, "the suspect running")
        trial = await place.trial("weigh", 1)
        assert trial is not None
        assert trial.alone
        await place.send("p1", "p2")
        await until(lambda: _taken(place, 3), "the others taken")
        assert together == [{"suspect"}]
        go_on.set()
        await place.settled()
        assert len(await place.events("weighed")) == 3
        await until(lambda: _forgotten(place), "nothing written of it")
        assert await place.letters() == []
    assert all("suspect" not in others for others in together[1:])


async def _taken(place: Post, count: int) -> bool:
    states = {state.name: state for state in await place.bus.state("MEDIA")}
    return states["weigh"].unacknowledged == count


async def _forgotten(place: Post) -> bool:
    return await place.trial("weigh", 1) is None


@on_both
async def test_suspect_that_dies_alone_is_given_up(kind: str, tmp_path: Path) -> None:
    """Marked as alone when its process died, it is dead-lettered without being run again."""
    registry, runs = Registry(), list[int]()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, workers=0) as place:
        await place.send("killer")
        await returned(place, "weigh", 2)
        await Attempts(place.bus).save("weigh", "MEDIA", 1, Trial(cleared=1, alone=True))
        await place.work()
        await place.event("lost", "killer")
        await place.settled()
        (letter,) = await place.letters()
        await until(lambda: _forgotten(place), "nothing written of it")
    assert (letter.error, letter.about, letter.attempts) == ("GaveUp", "killer", 0)
    assert runs == []


@on_both
async def test_suspect_that_fails_is_a_failure_like_any_other(kind: str, tmp_path: Path) -> None:
    """A suspect that raises is retried with the others: its redeliveries are explained, its failure is counted."""
    registry, runs = Registry(), list[int]()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        if len(runs) == 1:
            trial = await place.trial("weigh", 1)
            assert trial is not None
            assert trial.alone
            raise ValueError
        assert await place.trial("weigh", 1) == Trial(failures=1, cleared=TIMES)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, workers=0) as place:
        await place.send("p1")
        await returned(place, "weigh")
        await place.work()
        await place.event("weighed", "p1")
        await place.settled()
    assert len(runs) == 2


@on_both
async def test_held_suspect_lets_others_run(kind: str, tmp_path: Path) -> None:
    """A suspect that waits for a dependency isn't running: its mark is gone and the process works on."""
    registry, scale = Registry(), Switch(up=False)

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        if event.parcel == "suspect" and not scale.up:
            raise Unavailable("scale")
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, workers=0, told={"probes": {"scale": scale.probe}}) as place:
        await place.send("suspect")
        await returned(place, "weigh")
        await place.send("p1")
        await place.work()
        await place.event("weighed", "p1")
        await eventually(lambda: scale.probes >= 2, "the suspect held")
        assert await place.trial("weigh", 1) == Trial(cleared=TIMES)
        scale.up = True
        await place.event("weighed", "suspect")
        assert await place.letters() == []


@on_both
async def test_drained_suspect_is_not_blamed(kind: str, tmp_path: Path) -> None:
    """A process that stops while a suspect runs alone hands it back unmarked: it didn't kill anybody."""
    registry, runs, endless = Registry(), list[int](), asyncio.Event()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        if len(runs) == 1:
            await endless.wait()
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, workers=0) as place:
        await place.send("suspect")
        await returned(place, "weigh")
        worker = await place.work()
        await eventually(lambda: bool(runs), "the suspect running")
        worker.policy = type(worker.policy)(grace=0)
        await place.workers.pop().drain()
        assert await place.trial("weigh", 1) == Trial(cleared=TIMES)
        await place.work()
        await place.event("weighed", "suspect")
        assert await place.letters() == []


async def test_gate_lets_the_lonely_in_first() -> None:
    """Who waits to be alone goes before those who come after, and those go on afterwards."""
    gate, order = Gate(), list[str]()
    leave = asyncio.Event()

    async def together(name: str) -> None:
        async with gate.together():
            order.append(name)
            await leave.wait()

    async def alone() -> None:
        async with gate.alone():
            order.append("alone")
            assert inside.done()

    inside = asyncio.create_task(together("inside"))
    await eventually(lambda: order == ["inside"], "one inside")
    lonely = [asyncio.create_task(alone()) for _ in range(2)]
    await asyncio.sleep(0)
    late = asyncio.create_task(together("late"))
    await asyncio.sleep(0)
    assert order == ["inside"]
    leave.set()
    await asyncio.gather(inside, late, *lonely)
    assert order[1] == "alone"
    assert sorted(order) == ["alone", "alone", "inside", "late"]


async def test_gate_opens_when_the_lonely_is_cancelled() -> None:
    """Cancelled while waiting to be alone or while being so, it leaves the gate open for the others."""
    gate, leave = Gate(), asyncio.Event()

    async def alone() -> None:
        async with gate.alone():
            await leave.wait()

    for _ in range(2):
        task = asyncio.create_task(alone())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(5), gate.together():
            pass
