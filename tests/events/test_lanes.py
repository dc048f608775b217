"""Lanes: served by weight, so that bulk never starves and never blocks; and no more is taken than there are slots."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from events import dead
from events.bus import ConsumerState
from events.errors import Unavailable
from events.invoke import Invoke
from events.lanes import Turns
from events.nats import NatsBus
from events.registry import Registry, function
from events.streams import Retention, consumers, provision
from tests.events.domain import (
    FAST,
    WEIGHTS,
    Fact,
    Note,
    Post,
    Sent,
    Switch,
    Weighed,
    application,
    counted,
    on_both,
    post,
    until,
)
from tests.events.servers import eventually

PATIENT = replace(FAST, ack_wait=300.0, grace=300.0)
LANES = ("bulk", "standard", "premium")


class Scale:
    """`weigh`, which has lanes: what began, in order, how many at once, and a door that a test opens."""

    def __init__(self, *, concurrency: int = 1, lanes: bool = True, opened: bool = False) -> None:
        self.registry = Registry()
        self.began: list[str] = []
        self.most = 0
        self.door = asyncio.Event()
        self._inside = 0
        if opened:
            self.door.set()

        @function(on=Sent, into=self.registry, lanes=lanes, concurrency=concurrency, attempts=1)
        async def weigh(event: Sent, ctx: Any) -> Weighed:
            self._inside += 1
            self.most = max(self.most, self._inside)
            self.began.append(event.parcel)
            try:
                if event.note == "broken":
                    raise ValueError("broken")
                await self.door.wait()
                await asyncio.sleep(0.002)
            finally:
                self._inside -= 1
            return Weighed(parcel=event.parcel)

    @property
    def lanes(self) -> list[str]:
        """The lanes of what began."""
        return [parcel.partition("-")[0] for parcel in self.began]


async def backlog(place: Post, count: int, *lanes: str) -> None:
    """So many parcels in each lane, named for it: all of one lane before the next."""
    for lane in lanes:
        await place.send(*(f"{lane}-{number}" for number in range(count)), lane=lane)


async def states(place: Post) -> dict[str, ConsumerState]:
    """The consumers of MEDIA by name."""
    return {state.name: state for state in await place.bus.state("MEDIA")}


async def waiting_for(place: Post, *names: str, workers: int = 1) -> None:
    """Return when so many processes wait at each of these consumers."""

    async def there() -> bool:
        found = await states(place)
        return all(found[name].waiting == workers for name in names)

    await until(there, f"{workers} waiting at each of {names}")


ALL = ("weigh-premium", "weigh-standard", "weigh-bulk")


def test_turns_follow_the_weights() -> None:
    """Lanes that always have something are served 8 : 4 : 1, evenly mixed; one that had nothing saves nothing up."""
    turns = Turns(WEIGHTS)
    served = list[str]()
    for _ in range(13 * 20):
        served.append(turns.order()[0])
        turns.served(served[-1])
    for begin in range(0, len(served), 13):
        assert Counter(served[begin : begin + 13]) == {"premium": 8, "standard": 4, "bulk": 1}
    for _ in range(100):
        turns.served("bulk")
    assert turns.order() == ["premium", "standard", "bulk"]
    came_back = list[str]()
    for _ in range(13 * 3):
        came_back.append(turns.order()[0])
        turns.served(came_back[-1])
    assert 2 <= came_back.count("bulk") <= 4, "premium and standard are owed nothing for when they had nothing"


@on_both
@pytest.mark.parametrize("slots", [1, 3])
async def test_backlogs_are_served_by_weight(kind: str, slots: int, tmp_path: Path) -> None:
    """Of 40 waiting in each lane, as long as all have some, 8 premium go for 4 standard and 1 bulk; then the rest."""
    scale = Scale(concurrency=slots, opened=True)
    async with post(kind, tmp_path, scale.registry, workers=0) as place:
        await backlog(place, 40, *LANES)
        await place.work()
        await place.settled()
    assert len(scale.began) == len(set(scale.began)) == 120
    first = Counter(scale.lanes[:52])
    for lane, share in {"premium": 32, "standard": 16, "bulk": 4}.items():
        assert abs(first[lane] - share) <= 2, first
    # Premium has none left: 4 standard go for 1 bulk.
    rest = Counter(scale.lanes[65:85])
    assert abs(rest["bulk"] - 4) <= 1, rest
    assert scale.most == slots


@on_both
async def test_bulk_is_not_starved(kind: str, tmp_path: Path) -> None:
    """However many premium parcels there are, each eighth turn at the latest is bulk's, in its own order."""
    scale = Scale(opened=True)
    async with post(kind, tmp_path, scale.registry, workers=0) as place:
        await backlog(place, 60, "premium")
        await backlog(place, 5, "bulk")
        await place.work()
        await place.settled()
    at = [number for number, lane in enumerate(scale.lanes) if lane == "bulk"]
    assert len(at) == 5
    assert all(later - earlier <= 9 for earlier, later in zip([-1, *at], at, strict=False)), at


@on_both
async def test_premium_overtakes_a_backlog(kind: str, tmp_path: Path) -> None:
    """A premium parcel waits for what runs already, not for the bulk that was there before it."""
    scale = Scale()
    async with post(kind, tmp_path, scale.registry) as place:
        await backlog(place, 20, "bulk")
        await eventually(lambda: len(scale.began) == 1, "one running")
        await backlog(place, 1, "premium")
        scale.door.set()
        await place.settled()
    assert scale.lanes[:3] == ["bulk", "premium", "bulk"]
    assert len(scale.began) == 21


@on_both
async def test_lane_alone_has_every_slot(kind: str, tmp_path: Path) -> None:
    """Weights share what is wanted: while nobody else has anything, bulk has all slots, and no more than those."""
    scale = Scale(concurrency=3)
    async with post(kind, tmp_path, scale.registry) as place:
        await backlog(place, 5, "bulk")
        await eventually(lambda: len(scale.began) == 3, "three running")
        await waiting_for(place, *ALL, workers=0)
        found = await states(place)
        assert (found["weigh-bulk"].unacknowledged, found["weigh-bulk"].pending) == (3, 2)
        scale.door.set()
        await place.settled()
    assert scale.most == 3


@on_both
async def test_what_came_early_waits_here(kind: str, tmp_path: Path) -> None:
    """Parcels of all lanes in one moment for one slot: one runs, what else came waits under heartbeat, none twice."""
    scale = Scale()
    policy = replace(FAST, ack_wait=0.5)
    async with post(kind, tmp_path, scale.registry, policy=policy) as place:
        runner = place.workers[0].runners[0]
        for number in range(4):
            await waiting_for(place, *ALL)
            sent = [place.send(f"{lane}-{number}", lane=lane) for lane in LANES]
            await asyncio.gather(*sent)
            await eventually(lambda: scale.began, "one runs")
            await asyncio.sleep(2.5 * policy.ack_wait if not number else 0.02)
            assert runner.running <= len(LANES), "more than one message a lane"
            assert scale.most == 1
            assert {state.redelivered for state in (await states(place)).values()} == {0}
            scale.door.set()
            await place.settled()
            assert len(scale.began) == len(set(scale.began)) == len(LANES)
            scale.door.clear()
            scale.began.clear()


@on_both
async def test_busy_process_leaves_work_to_others(kind: str, tmp_path: Path) -> None:
    """What a process with no slot left had asked of the other lanes is taken back: an idle one has it at once."""
    scale = Scale()
    async with post(kind, tmp_path, scale.registry, policy=PATIENT, workers=3) as place:
        for expected, lane in enumerate(("bulk", "premium", "standard"), start=1):
            await waiting_for(place, *ALL, workers=4 - expected)
            await place.send(f"{lane}-1", lane=lane)
            await eventually(lambda count=expected: len(scale.began) == count, f"{lane} running")
        assert sorted(worker.runners[0].running for worker in place.workers) == [1, 1, 1]
        scale.door.set()
        await place.settled()


@on_both
async def test_drain_hands_back_what_came_early(kind: str, tmp_path: Path) -> None:
    """A process that stops finishes what runs and has nothing left, in no lane: another one does the rest at once."""
    scale = Scale()
    async with post(kind, tmp_path, scale.registry, policy=PATIENT) as place:
        await waiting_for(place, *ALL)
        await asyncio.gather(*(place.send(f"{lane}-first", lane=lane) for lane in LANES))
        await eventually(lambda: scale.began, "one runs")
        await waiting_for(place, *ALL, workers=0)
        await backlog(place, 4, *LANES)
        worker = place.workers.pop()
        early, handed = worker.runners[0].running - 1, counted("weigh", "handed_back")
        assert early or kind == "nats", "on the bus in memory all three come at once"
        draining = asyncio.create_task(worker.drain())
        await eventually(lambda: counted("weigh", "handed_back") == handed + early, "handed back")
        assert not draining.done()
        scale.door.set()
        async with asyncio.timeout(10):
            await draining
        assert len(scale.began) == 1
        found = await states(place)
        assert {state.waiting for state in found.values()} == {0}
        await place.work()
        await place.settled()
        assert await place.letters() == []
    assert len(scale.began) == len(set(scale.began)) == 15


@on_both
async def test_held_lane_stops_all(kind: str, tmp_path: Path) -> None:
    """While one delivery is held nothing is fetched in any lane; afterwards everything is done."""
    registry, bench, runs = Registry(), Switch(up=False), list[str]()

    @function(on=Sent, into=registry, lanes=True, concurrency=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        if not bench.up:
            raise Unavailable("scale")
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, told={"probes": {"scale": bench.probe}}) as place:
        await place.send("p1", lane="bulk")
        await eventually(lambda: bench.probes >= 2, "held")
        await waiting_for(place, *ALL, workers=0)
        await place.send("p2", "p3", lane="premium")
        before = bench.probes
        await eventually(lambda: bench.probes >= before + 2, "two more probes")
        assert set(runs) == {"p1"}
        bench.up = True
        await place.settled()
        assert await place.letters() == []
    assert set(runs) == {"p1", "p2", "p3"}


@on_both
async def test_what_is_given_to_it_alone_has_its_lane(kind: str, tmp_path: Path) -> None:
    """A replay goes through its event's lane; a failure is written for that lane's consumer, and a retry goes there."""
    scale = Scale()
    async with post(kind, tmp_path, scale.registry, workers=0) as place:
        (envelope,) = await place.send("p1", lane="bulk", note="broken")
        (mended,) = await place.send("p2", lane="premium")
        await Invoke("weigh", mended.model_copy(update={"run": "again"})).publish(place.bus, "me")
        found = await states(place)
        assert {name: state.pending for name, state in found.items()} == {
            "weigh-premium": 2,
            "weigh-standard": 0,
            "weigh-bulk": 1,
        }
        scale.door.set()
        await place.work()
        await place.event("lost", "p1")
        await place.settled()
        (letter,) = await place.letters()
        assert (letter.function, letter.lane, letter.about) == ("weigh", "bulk", envelope.subject)
        await place.workers.pop().drain()
        await retry(place)
        found = await states(place)
        assert {name for name, state in found.items() if state.pending} == {"weigh-bulk"}
        await place.work()
        await until(lambda: _lettered(place), "given up again")
    assert sorted(scale.began) == ["p1", "p1", "p2", "p2"]


async def _lettered(place: Post) -> bool:
    return bool(await place.letters())


async def retry(place: Post) -> None:
    """Retry the one dead letter."""
    ((stored, letter),) = [each async for each in dead.letters(place.bus)]
    await dead.retry(place.bus, stored, letter, "me")


@on_both
async def test_failures_are_counted_by_lane(kind: str, tmp_path: Path) -> None:
    """What failed is written under the consumer of its lane, which counts deliveries, and is forgotten when done."""
    registry, runs = Registry(), list[str]()

    @function(on=Sent, into=registry, lanes=True, attempts=3)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        if len(runs) < 3:
            raise ValueError
        trial = await place.trial("weigh-bulk", 1)
        assert trial is not None
        assert trial.failures == 2
        assert await place.trial("weigh", 1) is None
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1", lane="bulk")
        await place.event("weighed", "p1")
        await place.settled()
        await until(lambda: _forgotten(place), "nothing written of it")
        assert await place.letters() == []


async def _forgotten(place: Post) -> bool:
    return await place.trial("weigh-bulk", 1) is None


@on_both
async def test_unreadable_keeps_its_lane(kind: str, tmp_path: Path) -> None:
    """What can't be read has the lane of the consumer that it came from, so that a retry goes there."""
    async with post(kind, tmp_path, Scale().registry) as place:
        await place.bus.publish("invoke.weigh.bulk.p1", b"nonsense")
        await until(lambda: _lettered(place), "a dead letter")
        (letter,) = await place.letters()
        assert (letter.error, letter.lane) == ("Unreadable", "bulk")
        await place.workers.pop().drain()
        await retry(place)
        assert {name for name, state in (await states(place)).items() if state.pending} == {"weigh-bulk"}


@on_both
async def test_lane_whose_consumer_is_gone(kind: str, tmp_path: Path) -> None:
    """The others go on without it, and the function isn't bound; made again, it is served again."""
    scale = Scale(opened=True)
    async with post(kind, tmp_path, scale.registry) as place:
        (runner,) = place.workers[0].runners
        await eventually(lambda: runner.bound, "bound")
        told = replace(place.application, lanes={lane: weight for lane, weight in WEIGHTS.items() if lane != "bulk"})
        await provision(place.bus, told, place.functions, Retention(), place.policy.ack_wait, prune=True)
        await eventually(lambda: not runner.bound, "not bound any more")
        for number in range(5):
            await place.send(f"premium-{number}", lane="premium")
            await place.send(f"standard-{number}", lane="standard")
        await place.settled()
        assert len(scale.began) == 10
        await provision(place.bus, place.application, place.functions, Retention(), place.policy.ack_wait)
        await place.send("bulk-1", lane="bulk")
        await place.event("weighed", "bulk-1")
        await eventually(lambda: runner.bound, "bound again")
        await place.settled()


async def test_lanes_go_on_after_nats_was_killed(tmp_path: Path) -> None:
    """Killed while all lanes wait, and while one is at work, NATS comes back and every lane is served, by weight."""
    scale = Scale()
    async with post("nats", tmp_path, scale.registry) as place:
        assert place.server is not None
        assert isinstance(place.bus, NatsBus)
        up: Callable[[], bool] = lambda: place.bus.connected  # type: ignore[attr-defined]  # noqa: E731
        await waiting_for(place, *ALL)
        for began in (0, 1):
            place.server.kill()
            await eventually(lambda: not up(), "the connection broken")
            place.server.start()
            await eventually(up, "connected again")
            if not began:
                await place.send("bulk-first", lane="bulk")
                await eventually(lambda: scale.began == ["bulk-first"], "running")
        await backlog(place, 13, *LANES)
        scale.door.set()
        await place.settled()
        assert await place.letters() == []
    # What ran when the connection broke may come again.
    once = Counter(scale.began)
    assert len(once) == 40
    assert sum(once.values()) <= 41
    found = Counter(parcel.partition("-")[0] for parcel in list(once)[1:14])
    assert abs(found["premium"] - 8) <= 2, found


@on_both
async def test_lanes_are_provisioned(kind: str, tmp_path: Path) -> None:
    """A consumer for each lane with that lane's subjects; again, nothing changes; a lane too many is reported."""
    registry = Scale().registry
    specs = {spec.name: spec for spec in consumers(registry.functions["weigh"], application(), 9)}
    assert set(specs) == set(ALL)
    assert specs["weigh-bulk"].subjects == ("media.sent.*.bulk.>", "invoke.weigh.bulk.>")
    async with post(kind, tmp_path, registry, workers=0) as place:
        arguments: Any = (place.functions, Retention(), place.policy.ack_wait)
        again = await provision(place.bus, place.application, *arguments)
        assert {change.action for change in again} == {"unchanged"}
        fewer = replace(place.application, lanes={"premium": 1.0, "standard": 1.0})
        changes = await provision(place.bus, fewer, *arguments)
        assert [change.what for change in changes if change.action == "extra"] == ["consumer MEDIA.weigh-bulk"]


@on_both
async def test_function_is_given_lanes_and_loses_them(kind: str, tmp_path: Path) -> None:
    """What it had not acknowledged is not lost: the new consumers go on there; the old one is reported, then pruned."""
    plain, scale = Scale(lanes=False, opened=True), Scale(opened=True)
    async with post(kind, tmp_path, plain.registry, workers=0) as place:
        retention, ack_wait = Retention(), place.policy.ack_wait

        async def change(functions: Any, *, prune: bool = False) -> dict[str, str]:
            place.functions = list(functions)
            made = await provision(place.bus, place.application, functions, retention, ack_wait, prune=prune)
            return {each.what: each.action for each in made if each.what.startswith("consumer")}

        await place.send("done", lane="bulk")
        await place.work()
        await place.settled()
        await place.workers.pop().drain()
        await backlog(place, 2, *LANES)
        names = [f"consumer MEDIA.{name}" for name in ALL]
        assert await change(scale.registry) == dict.fromkeys(names, "created") | {"consumer MEDIA.weigh": "extra"}
        assert (await change(scale.registry, prune=True))["consumer MEDIA.weigh"] == "pruned"
        await place.work()
        await place.settled()
        assert len(scale.began) == len(set(scale.began)) == 6
        await place.workers.pop().drain()
        await place.send("bulk-late", lane="bulk")
        assert await change(plain.registry) == dict.fromkeys(names, "extra") | {"consumer MEDIA.weigh": "created"}
        await change(plain.registry, prune=True)
        await place.work()
        await place.settled()
    assert "bulk-late" in plain.began
    assert plain.began.count("done") == 1


def test_lanes_of_every_event() -> None:
    """A function that takes every event has lanes as well."""
    registry = Registry()

    @function(on=Fact, into=registry, lanes=True)
    async def watch(event: Fact, ctx: Any) -> None: ...

    found = [spec.subjects for spec in consumers(registry.functions["watch"], application(), 9)]
    assert found[0] == ("media.*.*.premium.>", "invoke.watch.premium.>")
    assert watch.__name__ == "watch"


def test_lanes_where_there_are_none_are_refused() -> None:
    """Notifications, ticks and batches have no lanes: the error says so, and names the function."""
    registry = Registry()

    @function(on=Note, into=registry, lanes=True)
    async def receive(event: Note, ctx: Any) -> None: ...

    with pytest.raises(ValueError, match="receive has lanes, and what it takes from UPLOADS has none"):
        consumers(registry.functions["receive"], application(), 9)
    assert receive.__name__ == "receive"
