"""Schedules: one tick a slot however many processes there are, worked on by one at a time, lost by nobody's death."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from events.errors import Unreadable
from events.registry import Registry, Tick, function
from events.ticks import Ticker, subject_of, tick_input
from tests.events.domain import Weighed, on_both, post
from tests.events.servers import eventually


def sweeping(registry: Registry, slots: list[int], *, go_on: asyncio.Event | None = None, every: float = 3600) -> None:
    """Register `sweep`, which notes its slots."""

    @function(every=every, into=registry, announces_failure=False)
    async def sweep(event: Tick, ctx: Any) -> None:
        slots.append(event.slot)
        if go_on is not None:
            await go_on.wait()


@on_both
async def test_one_tick_a_slot(kind: str, tmp_path: Path) -> None:
    """Of three processes that tick for one slot, one is first, and the function runs once."""
    registry, slots = Registry(), list[int]()
    sweeping(registry, slots)
    async with post(kind, tmp_path, registry, workers=0) as place:
        tickers = [Ticker(place.bus, place.functions[0]) for _ in range(3)]
        for slot in range(2**40, 2**40 + 5):
            assert sorted(await asyncio.gather(*(ticker.tick(slot) for ticker in tickers))) == [False, False, True]
        assert not await tickers[0].tick(2**40), "a clock that lags behind doesn't tick again"
        await place.work()
        await place.work()
        await eventually(lambda: bool(slots), "a tick")
        await place.settled("TICKS")
    assert slots == [2**40 + 4], "those that waited in vain are passed over"


@on_both
async def test_processes_tick_by_themselves(kind: str, tmp_path: Path) -> None:
    """While two processes run, each slot comes once and in order."""
    registry, slots = Registry(), list[int]()
    sweeping(registry, slots, every=0.2)
    async with post(kind, tmp_path, registry, workers=2):
        await eventually(lambda: len(slots) >= 5, "five ticks")
    assert slots == sorted(set(slots))


@on_both
async def test_worked_on_by_one_at_a_time(kind: str, tmp_path: Path) -> None:
    """While a tick is worked on, the next ones wait, and only the last of them is worked on afterwards."""
    registry, slots, go_on = Registry(), list[int](), asyncio.Event()
    sweeping(registry, slots, go_on=go_on)
    async with post(kind, tmp_path, registry, workers=2) as place:
        await eventually(lambda: len(slots) == 1, "the first tick")
        ticker = Ticker(place.bus, place.functions[0])
        for slot in range(2**40, 2**40 + 3):
            assert await ticker.tick(slot)
        (state,) = await place.bus.state("TICKS")
        assert (state.unacknowledged, len(slots)) == (1, 1)
        go_on.set()
        await place.settled("TICKS")
    assert slots[1:] == [2**40 + 2]


@on_both
async def test_death_during_a_tick_leaves_the_next_one(kind: str, tmp_path: Path) -> None:
    """A tick whose process died comes again, and the newer one after it."""
    registry, slots, go_on = Registry(), list[int](), asyncio.Event()
    sweeping(registry, slots, go_on=go_on)
    async with post(kind, tmp_path, registry, workers=0) as place:
        ticker = Ticker(place.bus, place.functions[0])
        assert await ticker.tick(2**40)
        taken: list[Any] = []
        dying = await place.bus.subscribe("TICKS", "sweep", taken.append)
        dying.want(1)
        await eventually(lambda: bool(taken), "taken by a process that dies")
        await dying.drain()
        assert await ticker.tick(2**40 + 1)
        await place.work()
        go_on.set()
        await eventually(lambda: slots[-1:] == [2**40 + 1], "the newer tick")
        await place.settled("TICKS")
    assert slots == [2**40, 2**40 + 1]


@on_both
async def test_what_a_tick_finds_has_computed_ids(kind: str, tmp_path: Path) -> None:
    """A tick that is worked on twice says the same twice: its id is of the function and the slot."""
    registry = Registry()

    @function(every=3600, into=registry)
    async def sweep(event: Tick, ctx: Any) -> Weighed:
        return Weighed(parcel="p1")

    async with post(kind, tmp_path, registry, workers=0) as place:
        ticker = Ticker(place.bus, place.functions[0])
        await ticker.tick(2**40)
        await place.work()
        first = await place.event("weighed", "p1")
        await place.bus.publish(subject_of("sweep"), str(2**40).encode())
        await place.settled("TICKS")
        assert {event["id"] for event in await place.events("weighed")} == {first["id"]}


async def test_garbage_among_the_ticks_does_not_stop_them() -> None:
    """Whatever somebody put into the stream, the next tick takes its place."""
    registry = Registry()
    sweeping(registry, [])
    async with post("memory", Path(), registry, workers=0) as place:
        await place.bus.publish("tick.sweep", b"soon")
        assert await Ticker(place.bus, place.functions[0]).tick(5)


async def test_ticker_survives_what_it_did_not_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    """One slot lost is a tick less, not the end of all ticks."""
    registry, slots = Registry(), list[int]()
    sweeping(registry, slots, every=0.1)
    broken = asyncio.Event()

    class Odd(Ticker):
        async def tick(self, slot: int) -> bool:
            if not broken.is_set():
                broken.set()
                raise KeyError
            return await super().tick(slot)

    monkeypatch.setattr("events.worker.Ticker", Odd)
    async with post("memory", Path(), registry):
        await eventually(lambda: bool(slots), "a tick")
    assert broken.is_set()


@pytest.mark.parametrize("payload", [b"", b"-1", b"soon", b"1.5", b"9" * 5000])
async def test_what_is_no_tick_is_unreadable(payload: bytes) -> None:
    """A message that names no slot is no input."""
    async with post("memory", Path(), Registry()) as place:
        stored = await place.bus.publish("tick.sweep", payload)
        message: Any = await place.bus.get("TICKS", stored.sequence)
        with pytest.raises(Unreadable, match="not a tick"):
            tick_input("sweep", message)
