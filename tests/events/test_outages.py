"""NATS dies, consumers disappear: workers go on when they are back, without spinning and without losing anything."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from events.nats import NatsBus
from events.registry import Registry, function
from events.streams import Retention, provision
from tests.events.domain import Post, Sent, Weighed, post, until
from tests.events.servers import eventually


async def test_work_goes_on_after_nats_was_killed(tmp_path: Path) -> None:
    """A handler that finishes while NATS is away has its say when it is back, and work goes on."""
    registry, go_on, runs = Registry(), asyncio.Event(), list[str]()

    @function(on=Sent, into=registry, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(event.parcel)
        if event.parcel == "p1":
            await go_on.wait()
        return Weighed(parcel=event.parcel)

    async with post("nats", tmp_path, registry) as place:
        assert place.server is not None
        assert isinstance(place.bus, NatsBus)
        (first,) = await place.send("p1")
        await eventually(lambda: runs == ["p1"], "running")
        place.server.kill()
        await eventually(lambda: not _connected(place), "the connection broken")
        go_on.set()
        place.server.start()
        await place.event("weighed", "p1")
        await place.send("p2")
        await place.event("weighed", "p2")
        await place.settled()
        ids = {event["id"] for event in await place.events("weighed", "p1")}
        assert len(ids) == 1
        assert (await place.events("weighed", "p1"))[0]["causationid"] == first.id
        assert await place.letters() == []


def _connected(place: Post) -> bool:
    assert isinstance(place.bus, NatsBus)
    return place.bus.connected


async def test_failure_is_counted_though_nats_was_away(tmp_path: Path) -> None:
    """A handler that fails while NATS is away is counted when it is back: no attempt is forgotten, none invented."""
    registry, go_on, runs = Registry(), asyncio.Event(), list[int]()

    @function(on=Sent, into=registry, attempts=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        await go_on.wait()
        raise ValueError

    async with post("nats", tmp_path, registry) as place:
        assert place.server is not None
        await place.send("p1")
        await eventually(lambda: bool(runs), "running")
        place.server.kill()
        await eventually(lambda: not _connected(place), "the connection broken")
        go_on.set()
        place.server.start()
        await place.event("lost", "p1")
        (letter,) = await place.letters()
    assert letter.attempts == 2


async def test_deleted_consumer_is_waited_for(tmp_path: Path) -> None:
    """Without its consumer a function isn't bound and asks about once a second; made again, it works again."""
    registry = Registry()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel)

    async with post("nats", tmp_path, registry) as place:
        (runner,) = place.workers[0].runners
        await eventually(lambda: runner.bound, "bound")
        told = place.application
        await provision(place.bus, told, [], Retention(), place.policy.ack_wait, prune=True)
        await eventually(lambda: not runner.bound, "not bound any more")

        asked = _pulls(place)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await eventually(lambda: len(asked) >= 3, "three more questions")
        assert loop.time() - started > 1, "it asks more than once a second"

        await provision(place.bus, told, place.functions, Retention(), place.policy.ack_wait)
        await eventually(lambda: runner.bound, "bound again")
        await place.send("p1")
        await place.event("weighed", "p1")


def _pulls(place: Post) -> list[str]:
    """Count the pull requests sent from now on."""
    assert isinstance(place.bus, NatsBus)
    link = place.bus._link  # pyright: ignore[reportPrivateUsage]  the wire is what is looked at
    send: Callable[..., Awaitable[None]] = link.send
    asked: list[str] = []

    async def counting(subject: str, *arguments: Any, **options: Any) -> None:
        if ".CONSUMER.MSG.NEXT." in subject:
            asked.append(subject)
        await send(subject, *arguments, **options)

    link.send = counting
    return asked


async def test_consumer_made_after_its_worker(tmp_path: Path) -> None:
    """A worker may start before `provision`: it binds when there is something to bind to."""
    registry = Registry()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel)

    async with post("nats", tmp_path, registry, workers=0) as place:
        await provision(place.bus, place.application, [], Retention(), place.policy.ack_wait, prune=True)
        worker = await place.work()
        assert not worker.runners[0].bound
        await provision(place.bus, place.application, place.functions, Retention(), place.policy.ack_wait)
        await place.send("p1")
        await place.event("weighed", "p1")


async def test_bus_that_is_away_is_nobodys_failure(tmp_path: Path) -> None:
    """Publishing waits for as long as the bus is away, and counts nothing."""
    registry, runs = Registry(), list[int]()

    @function(on=Sent, into=registry, attempts=1, timeout=0.2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        if len(runs) == 1:
            place.bus.down = True  # pyright: ignore[reportAttributeAccessIssue]  the bus in memory
        return Weighed(parcel=event.parcel)

    async with post("memory", tmp_path, registry) as place:
        await place.send("p1")
        await eventually(lambda: bool(runs), "running")
        await asyncio.sleep(0.5)  # longer than the timeout
        place.bus.down = False  # pyright: ignore[reportAttributeAccessIssue]
        await place.event("weighed", "p1")
        await until(lambda: _done(place), "acknowledged")
        assert await place.letters() == []
    assert len(runs) == 1


async def _done(place: Post) -> bool:
    (state,) = await place.bus.state("MEDIA")
    return not state.unacknowledged
