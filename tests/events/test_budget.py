"""One CPU budget for a process: never exceeded, in order of arrival, and a video doesn't starve images."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from events.budget import Budget, cores
from events.errors import Unavailable
from events.registry import Function, Registry, function
from tests.events.domain import FAST, Sent, Switch, Weighed, on_both, post
from tests.events.servers import eventually

TWO_CORES = replace(FAST, cpu_budget=2.0)


async def nothing(event: Any, ctx: Any) -> None:
    """Does nothing."""


def heavy(cpu: float, name: str = "some", *, background: bool = False, concurrency: int = 8) -> Function:
    """A function of a weight."""
    return Function(name, nothing, (Sent,), (), cpu=cpu, background=background, concurrency=concurrency)


class Load:
    """Deliveries that ask for shares, as a test begins and ends them."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.running: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, what: Function) -> None:
        """Ask for a share; it is given, or waited for, when this returns."""
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, what))
        await settle()

    async def end(self, name: str) -> None:
        """Give the share back."""
        self.ends[name].set()
        await settle()

    async def cancel(self, *names: str) -> None:
        """Cancel, wherever they are."""
        for name in names:
            self.tasks[name].cancel()
        await settle()

    async def _run(self, name: str, what: Function) -> None:
        async with self.budget.share(what):
            self.running.append(name)
            try:
                await self.ends[name].wait()
            finally:
                self.running.remove(name)


async def settle() -> None:
    """Let tasks run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_shares_are_given_in_order_of_arrival() -> None:
    """A heavy one at the head is not overtaken by light ones that would fit."""
    load = Load(Budget(4))
    for name, cpu in (("a", 1), ("b", 2), ("heavy", 3), ("c", 1), ("d", 0.5)):
        await load.ask(name, heavy(cpu))
    assert (load.running, load.budget.used, load.budget.waiting) == (["a", "b"], 3, 3)
    await load.end("a")
    assert load.running == ["b"]
    await load.end("b")
    assert load.running == ["heavy", "c"]
    await load.end("heavy")
    assert (load.running, load.budget.used, load.budget.waiting) == (["c", "d"], 1.5, 0)


async def test_weight_is_clamped_to_the_budget() -> None:
    """What weighs more than there is runs alone; what weighs nothing never waits."""
    load = Load(Budget(2))
    await load.ask("whale", heavy(64))
    await load.ask("next", heavy(0.1))
    await load.ask("waits for others", heavy(0))
    assert (load.running, load.budget.used) == (["whale", "waits for others"], 2)
    await load.end("whale")
    assert load.running == ["waits for others", "next"]


async def test_fractions_add_up() -> None:
    """Ten tenths are one core, not almost one: there is room for exactly ten."""
    load = Load(Budget(1))
    for number in range(11):
        await load.ask(str(number), heavy(0.1))
    assert (len(load.running), load.budget.used) == (10, 1)


@pytest.mark.parametrize("total", [1.0, 2.0, 3.5, 8.0])
async def test_what_is_quick_waits_for_no_background(total: float) -> None:
    """However much of the background runs and waits, the heaviest quick function runs at once if no quick one does."""
    encode, mix = heavy(64, "encode", background=True), heavy(1, "mix", background=True)
    render, crop = heavy(1, "render"), heavy(0.25, "crop")
    load = Load(Budget(total, [encode, mix, render, crop]))
    for number in range(10):
        await load.ask(f"mix {number}", mix)
        await load.ask(f"encode {number}", encode)
    assert load.running
    for _ in range(3):
        await load.ask("image", render)
        assert load.running[-1] == "image"
        assert load.budget.used <= total
        await load.end("image")
    for number in range(4):
        await load.ask(f"crop {number}", crop)
    assert "crop 0" in load.running


async def test_background_is_not_starved() -> None:
    """Quick ones that come without end let the background run as soon as those end that were there before it."""
    encode, render = heavy(8, "encode", background=True), heavy(1, "render")
    load = Load(Budget(2, [encode, render]))
    for name in ("one", "two"):
        await load.ask(name, render)
    await load.ask("video", encode)
    for name in ("three", "four", "five"):
        await load.ask(name, render)
    assert load.running == ["one", "two"], "both cores are theirs while nobody else needs one"
    await load.end("one")
    assert load.running == ["two", "video"]
    await load.end("two")
    assert load.running == ["video", "three"]
    await load.end("video")
    assert load.running == ["three", "four"]


async def test_large_background_is_not_starved() -> None:
    """Quick ones don't take one by one what the background waits for: they leave room until it fits."""
    load = Load(Budget(4, [encode := heavy(3, "encode", background=True), render := heavy(1, "render")]))
    for name in ("one", "two", "three", "four"):
        await load.ask(name, render)
    await load.ask("video", encode)
    await load.ask("five", render)
    for name in ("one", "two"):
        await load.end(name)
    assert load.running == ["three", "four"]
    await load.end("three")
    assert load.running == ["four", "video"]
    await load.end("four")
    assert load.running == ["video", "five"]


async def test_background_alone_has_everything() -> None:
    """A process of encoders keeps nothing back; neither does one whose other functions weigh nothing."""
    encode = heavy(8, "encode", background=True)
    for others in ([], [heavy(0, "scan")]):
        budget = Budget(4, [encode, *others])
        load = Load(budget)
        await load.ask("video", encode)
        assert (load.budget.used, budget.at_once(encode)) == (4, 1)


def test_no_more_are_taken_than_can_run() -> None:
    """A function's slots are what the budget lets run at once, and never none."""
    encode, render = heavy(3, "encode", background=True), heavy(1, "render")
    budget = Budget(8, [encode, render])
    slots = {
        each.cpu: budget.at_once(each) for each in (encode, render, heavy(64), heavy(0), heavy(0.5, concurrency=5))
    }
    assert slots == {3: 2, 1: 8, 64: 2, 0: 8, 0.5: 5}


async def test_cancelled_shares_are_given_back() -> None:
    """Cancelled while it waits, or in the very moment it was given its share, one leaves nothing behind."""
    load = Load(Budget(1))
    for name in ("a", "b", "c", "d"):
        await load.ask(name, heavy(1))
    await load.cancel("b")
    load.ends["a"].set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # `c` has been given its share and has not run since.
    await load.cancel("c")
    assert load.running == ["d"]
    for name in ("e", "f"):
        await load.ask(name, heavy(1))
    load.ends["d"].set()
    # Cancelled, and still there when the share is given on.
    await load.cancel("e")
    assert load.running == ["f"]
    assert not load.tasks["d"].cancelled()
    assert load.tasks["d"].exception() is None
    await load.cancel("f")
    assert (load.running, load.budget.used, load.budget.waiting) == ([], 0, 0)


async def test_closed_budget_lets_nobody_wait() -> None:
    """When the process stops, who waits is cancelled, and who would have to; what runs goes on."""
    load = Load(Budget(1))
    await load.ask("a", heavy(1))
    await load.ask("b", heavy(1))
    load.budget.close()
    await load.ask("c", heavy(1))
    assert (load.running, load.budget.waiting) == (["a"], 0)
    assert all(load.tasks[name].cancelled() for name in "bc")
    await load.end("a")
    await load.ask("d", heavy(1))
    assert (load.running, load.budget.used) == (["d"], 1)


class Watched(Budget):
    """Writes down what was asked for and what was given, in this order, and what runs."""

    def __init__(self, total: float, functions: list[Function]) -> None:
        super().__init__(total, functions)
        self.asked: list[Any] = []
        self.given: list[Any] = []
        self.runs: set[Any] = set()

    async def _wait(self, share: Any, name: str) -> None:
        self.asked.append(share)
        await super()._wait(share, name)

    def _count(self, share: Any, sign: int) -> None:
        super()._count(share, sign)
        if sign > 0:
            self.given.append(share)
            self.runs.add(share)
        else:
            self.runs.remove(share)


@pytest.mark.parametrize("background", [False, True])
async def test_budget_is_never_exceeded(background: bool) -> None:
    """Hundreds that come, end and are cancelled at random: the sum is never exceeded, each sort keeps its order."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    functions = [heavy(cpu, f"f{cpu}") for cpu in (0.1, 0.3, 1, 1.5, 3)]
    if background:
        functions += [heavy(cpu, f"b{cpu}", background=True) for cpu in (0.7, 2, 64)]
    total = dice.choice([1.0, 2.0, 4.0])
    budget = Watched(total, functions)
    together: list[float] = []

    async def one(what: Function) -> None:
        async with budget.share(what):
            together.append(sum(share.weight for share in budget.runs) / 1000)
            await asyncio.sleep(dice.random() / 500)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(400):
        tasks.append(asyncio.create_task(one(dice.choice(functions))))
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() / 500)
        if dice.random() < 0.2:
            dice.choice(tasks).cancel()
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}, f"seed {seed}"
    assert max(together) <= total, f"seed {seed}"
    for sort in (False, True):
        # Without those that were cancelled while they waited.
        given = [share for share in budget.given if share.background is sort]
        assert given == [share for share in budget.asked if share in given], f"seed {seed}"
    assert len(budget.given) >= results.count(None) > 100, f"seed {seed}"
    assert (budget.used, budget.waiting, budget.runs) == (0, 0, set()), f"seed {seed}"


def test_cores_are_what_the_process_was_given(tmp_path: Path) -> None:
    """All cores it may run on, unless its container was given less."""
    limit = tmp_path / "cpu.max"
    everything = cores(limit)
    assert everything >= 1
    for text, expected in (("50000 100000\n", 0.5), ("max 100000\n", everything), ("900000000 100000", everything)):
        limit.write_text(text)
        assert cores(limit) == expected


# Through the whole runtime.


@on_both
async def test_video_does_not_starve_images(kind: str, tmp_path: Path) -> None:
    """With ten videos waiting and one being encoded, images go their way; the videos do too while images never end."""
    registry, encoded = Registry(), list[str]()
    images, go_on, peak = list[str](), asyncio.Event(), list[float]()

    @function(on=Sent, kinds=("box",), into=registry, cpu=8, background=True, concurrency=2)
    async def encode(event: Sent, ctx: Any) -> Weighed | None:
        if not event.parcel.startswith("video"):
            return None
        peak.append(place.workers[0].budget.used)
        await go_on.wait()
        encoded.append(event.parcel)
        return Weighed(parcel=event.parcel)

    @function(on=Sent, into=registry, cpu=1)
    async def render(event: Sent, ctx: Any) -> Weighed | None:
        if event.parcel.startswith("video"):
            return None
        peak.append(place.workers[0].budget.used)
        await asyncio.sleep(0.01)
        images.append(event.parcel)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, policy=TWO_CORES) as place:
        await place.send(*(f"video{number}" for number in range(10)))
        await eventually(lambda: bool(peak), "a video is being encoded")
        await place.send("image1", "image2", "image3")
        for name in ("image1", "image2", "image3"):
            await place.event("weighed", name)
        assert encoded == []
        go_on.set()
        count = 3
        while len(encoded) < 10:
            # There is always an image that waits.
            while count < len(images) + 4:
                count += 1
                await place.send(f"image{count}")
            await asyncio.sleep(0.005)
            assert count < 2000, f"{len(encoded)} videos encoded, {len(images)} images rendered"
        await place.settled()
    assert max(peak) <= 2


@on_both
async def test_no_more_are_fetched_than_may_run(kind: str, tmp_path: Path) -> None:
    """Ten slots of a core each on two cores are two: the rest stays for other processes."""
    registry, go_on, runs = Registry(), asyncio.Event(), list[str]()

    @function(on=Sent, into=registry, cpu=1, concurrency=10)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        await go_on.wait()
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, policy=TWO_CORES) as place:
        await place.send(*(f"p{number}" for number in range(10)))
        await eventually(lambda: len(runs) == 2, "two running")
        (state,) = await place.bus.state("MEDIA")
        assert (state.unacknowledged, state.pending) == (2, 8)
        assert place.workers[0].runners[0].slots == 2
        go_on.set()
        await place.settled()
    assert len(runs) == 10


@on_both
async def test_share_is_given_back_while_held(kind: str, tmp_path: Path) -> None:
    """What waits for a dependency takes no part of the budget: others run meanwhile."""
    registry, scale, others = Registry(), Switch(up=False), list[str]()

    @function(on=Sent, into=registry, cpu=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        if not scale.up:
            raise Unavailable("scale")
        return Weighed(parcel=event.parcel)

    @function(on=Sent, into=registry, cpu=2)
    async def post_on(event: Sent, ctx: Any) -> None:
        others.append(event.parcel)

    async with post(kind, tmp_path, registry, policy=TWO_CORES, told={"probes": {"scale": scale.probe}}) as place:
        await place.send("p1")
        await eventually(lambda: scale.probes >= 2, "held")
        await place.send("p2", "p3")
        await eventually(lambda: len(others) == 3, "the others run")
        budget = place.workers[0].budget
        await eventually(lambda: (budget.used, budget.waiting) == (0, 0), "nothing runs")
        scale.up = True
        await place.settled()
        assert await place.letters() == []


@on_both
async def test_waiting_is_not_the_handlers_time(kind: str, tmp_path: Path) -> None:
    """Waiting for a share takes nothing from the timeout, and heartbeats go on: longer than `ack_wait`, run once."""
    registry, runs = Registry(), list[str]()
    slow = replace(TWO_CORES, ack_wait=0.6)

    def body(name: str) -> Any:
        async def handler(event: Sent, ctx: Any) -> None:
            runs.append(name)
            await asyncio.sleep(0.9)

        handler.__name__ = name
        return function(on=Sent, into=registry, cpu=2, timeout=1.3, attempts=1)(handler)

    for name in ("first", "second", "third"):
        body(name)
    async with post(kind, tmp_path, registry, policy=slow) as place:
        begun = asyncio.get_running_loop().time()
        await place.send("p1")
        waiting = {"function": "third"}
        await eventually(lambda: place.workers[0].budget.waiting == 2, "two wait")
        assert REGISTRY.get_sample_value("tidegate_cpu_used") == 2
        assert REGISTRY.get_sample_value("tidegate_cpu_budget") == 2
        await eventually(lambda: REGISTRY.get_sample_value("tidegate_cpu_waiting", waiting) is not None, "counted")
        await place.settled()
        assert asyncio.get_running_loop().time() - begun > 2.7
        assert await place.letters() == []
        assert await place.events("lost") == []
        assert REGISTRY.get_sample_value("tidegate_cpu_used") == 0
    assert sorted(runs) == ["first", "second", "third"]


@on_both
async def test_who_waits_is_handed_back_by_a_drain(kind: str, tmp_path: Path) -> None:
    """A process that stops finishes what runs; what waits for its share goes to another process at once."""
    registry, go_on, runs = Registry(), asyncio.Event(), list[str]()

    @function(on=Sent, into=registry, cpu=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append("weigh")
        await go_on.wait()
        return Weighed(parcel=event.parcel)

    @function(on=Sent, into=registry, cpu=2)
    async def post_on(event: Sent, ctx: Any) -> None:
        runs.append("post_on")
        await go_on.wait()

    patient = replace(TWO_CORES, ack_wait=300, grace=300)
    async with post(kind, tmp_path, registry, policy=patient) as place:
        await place.send("p1")
        await eventually(lambda: place.workers[0].budget.waiting == 1, "one waits")
        worker = place.workers.pop()
        draining = asyncio.create_task(worker.drain())
        await eventually(lambda: worker.budget.waiting == 0, "handed back")
        await place.work()
        await eventually(lambda: len(runs) == 2, "taken over while the first one still runs")
        assert not draining.done()
        go_on.set()
        await draining
        await place.settled()
    assert sorted(runs) == ["post_on", "weigh"]
