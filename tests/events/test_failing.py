"""What becomes of a function's own failures: counted, retried with a growing delay, given up, never in others' way."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from events.attempts import Policy
from events.envelope import MAX_BYTES
from events.registry import Registry, function
from tests.events.domain import FAST, Delivered, Sent, Weighed, counted, on_both, post, until

PATIENT = replace(FAST, retry_base=60.0, retry_max=60.0)


def test_delay_grows_up_to_a_ceiling_and_is_jittered() -> None:
    """Each retry waits about twice as long as the one before, at most `retry_max`, and no two wait the same."""
    seed = random.randrange(2**32)
    random.seed(seed)
    policy = Policy(retry_base=1, retry_max=10)
    for failures, full in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (5000, 10.0)]:
        delays = {policy.delay(failures) for _ in range(20)}
        assert full / 2 <= min(delays) < max(delays) <= full, f"seed {seed}"


@on_both
async def test_failure_is_retried_and_forgotten_after_success(kind: str, tmp_path: Path) -> None:
    """A function that fails twice is tried a third time; then nothing of it remains written."""
    registry = Registry()
    runs: list[int] = []

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError("the scale slipped")
        return Weighed(parcel=event.parcel)

    retried, done = counted("weigh", "retried"), counted("weigh", "done")
    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.event("weighed", "p1")
        await place.settled()
        await until(lambda: _forgotten(place), "the count cleared")
        assert await place.letters() == []
    assert len(runs) == 3
    assert counted("weigh", "retried") == retried + 2
    assert counted("weigh", "done") == done + 1


async def _forgotten(place: Any) -> bool:
    return await place.trial("weigh", 1) is None


@on_both
async def test_given_up_after_its_attempts(kind: str, tmp_path: Path) -> None:
    """At the last attempt there is a dead letter with everything about it, then the event that says so."""
    registry = Registry()
    runs: list[int] = []

    @function(on=Sent, into=registry, attempts=2, version="9")
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        raise ValueError("the scale is broken")

    dead = counted("weigh", "dead")
    async with post(kind, tmp_path, registry) as place:
        (sent,) = await place.send("p1")
        lost = await place.event("lost", "p1")
        await place.settled()
        (letter,) = await place.letters()
        await until(lambda: _forgotten(place), "the count cleared")
    assert len(runs) == 2
    assert (letter.function, letter.functionversion, letter.attempts) == ("weigh", "9", 2)
    assert (letter.stream, letter.sequence, letter.about, letter.lane) == ("MEDIA", 1, "p1", "standard")
    assert (letter.error, letter.message) == ("ValueError", "the scale is broken")
    assert "in weigh" in letter.traceback
    assert letter.event is not None
    assert (letter.event["id"], letter.event["data"]) == (sent.id, {"parcel": "p1", "note": ""})
    assert (lost["data"]["letter"], lost["causationid"]) == (letter.letter_id, sent.id)
    assert counted("weigh", "dead") == dead + 1


@on_both
async def test_silent_function_leaves_a_dead_letter_alone(kind: str, tmp_path: Path) -> None:
    """A function that doesn't announce its failures leaves a letter and no event."""
    registry = Registry()

    @function(on=Sent, into=registry, attempts=1, announces_failure=False)
    async def record(event: Sent, ctx: Any) -> None:
        raise ValueError

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await until(place.letters, "a dead letter")
        await place.settled()
        assert await place.events("lost") == []


@on_both
async def test_failure_that_can_not_be_said_ends_as_well(kind: str, tmp_path: Path) -> None:
    """If the event about a failure can't be made, or is too large, the dead letter remains and the input is done."""
    registry = Registry()

    @function(on=Sent, into=registry, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        raise ValueError

    def lost(_function: Any, _envelope: Any, event: Sent, _letter: Any) -> Weighed:
        if event.parcel == "p1":
            raise KeyError
        return Weighed(parcel=event.parcel, note="x" * MAX_BYTES)

    async with post(kind, tmp_path, registry, told={"failed": lost}) as place:
        await place.send("p1", "p2")
        await place.settled()
        assert {letter.about for letter in await place.letters()} == {"p1", "p2"}


@on_both
async def test_output_over_64_kib_is_a_failure(kind: str, tmp_path: Path) -> None:
    """An event that is too large is the function's failure, and the letter says by how much."""
    registry = Registry()

    @function(on=Sent, into=registry, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel, note="x" * MAX_BYTES)

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.event("lost", "p1")
        (letter,) = await place.letters()
    assert "an event has 65536 at most" in letter.message


@on_both
async def test_count_survives_the_process(kind: str, tmp_path: Path) -> None:
    """Attempts made by one process count in the next: two of three here, the third there is the last."""
    registry = Registry()
    runs: list[int] = []

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        raise ValueError

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")

        async def failed_twice() -> bool:
            trial = await place.trial("weigh", 1)
            return trial is not None and trial.failures >= 2

        await until(failed_twice, "two failures")
        await place.workers.pop().drain()
        await place.work()
        (letter,) = [await _first(place)]
        await place.settled()
    assert letter.attempts == 3
    assert len(runs) == 3


async def _first(place: Any) -> Any:
    await until(place.letters, "a dead letter")
    return (await place.letters())[0]


@on_both
async def test_failing_inputs_do_not_starve_good_ones(kind: str, tmp_path: Path) -> None:
    """However many wait for their retry, they take no slot: a good input goes past them."""
    registry = Registry()

    @function(on=Sent, into=registry, concurrency=2)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        if event.note == "bad":
            raise ValueError
        return Weighed(parcel=event.parcel)

    retried = counted("weigh", "retried")
    async with post(kind, tmp_path, registry, policy=PATIENT) as place:
        await place.send(*(f"bad{number}" for number in range(30)), note="bad")
        await place.send("good")
        await place.event("weighed", "good")
        assert counted("weigh", "retried") == retried + 30
        assert await place.letters() == []


@on_both
async def test_timeout_is_a_failure_of_one_try(kind: str, tmp_path: Path) -> None:
    """A handler that runs out of time is stopped and tried again with all of its time."""
    registry = Registry()
    runs: list[int] = []

    @function(on=Sent, into=registry, timeout=0.3)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        await asyncio.sleep(60 if len(runs) == 1 else 0.2)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.event("weighed", "p1")
    assert len(runs) == 2


@on_both
async def test_timeout_names_the_function(kind: str, tmp_path: Path) -> None:
    """The dead letter of a timeout says how long it was; a TimeoutError of the handler's own is kept."""
    registry = Registry()

    @function(on=Sent, into=registry, timeout=0.1, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        if event.note == "own":
            raise TimeoutError("the scale's timeout")
        return await asyncio.Future[Weighed]()

    @function(on=Sent, into=registry, timeout=0.1, attempts=1)
    async def label(event: Sent, ctx: Any) -> AsyncIterator[Weighed]:
        yield Weighed(parcel=event.parcel)
        await asyncio.Future[None]()

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.send("p2", note="own")
        await place.settled()
        messages = {(letter.function, letter.about): letter.message for letter in await place.letters()}
    assert messages == {
        ("weigh", "p1"): "weigh did not finish within 0.1 s",
        ("weigh", "p2"): "the scale's timeout",
        ("label", "p1"): "label did not finish within 0.1 s",
        ("label", "p2"): "label did not finish within 0.1 s",
    }


@on_both
async def test_handler_that_ignores_its_end_is_left_behind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that swallows cancellation loses its slot and its heartbeats; it counts as a failure like any other."""
    monkeypatch.setattr("events.patience.STOP_SECONDS", 0.2)
    registry = Registry()
    runs: list[int] = []
    enough = asyncio.Event()

    @function(on=Sent, into=registry, timeout=0.1, concurrency=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        if event.note == "stubborn":
            runs.append(1)
            while not enough.is_set():
                try:
                    await enough.wait()
                except asyncio.CancelledError:
                    continue
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1", note="stubborn")
        await place.send("p2")
        await place.event("weighed", "p2")
        await place.event("lost", "p1")
        await place.settled()
        (letter,) = await place.letters()
        enough.set()
    assert letter.message == "weigh did not finish within 0.1 s"
    assert len(runs) == FAST.attempts


@on_both
async def test_handler_cancelled_by_others_has_failed(kind: str, tmp_path: Path) -> None:
    """A CancelledError that the runtime didn't ask for is counted; it doesn't hand the input back at once, for ever."""
    registry = Registry()
    runs: list[int] = []

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        raise asyncio.CancelledError

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.event("lost", "p1")
        (letter,) = await place.letters()
    assert "was cancelled, though not by the runtime" in letter.message
    assert len(runs) == FAST.attempts


@on_both
async def test_running_handler_is_not_delivered_again(kind: str, tmp_path: Path) -> None:
    """A handler that takes longer than `ack_wait` runs once: heartbeats keep its delivery, here and elsewhere."""
    registry = Registry()
    runs: list[int] = []

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        await asyncio.sleep(1.5)
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, policy=replace(FAST, ack_wait=0.5), workers=2) as place:
        await place.send("p1")
        await place.settled()
    assert len(runs) == 1


@on_both
async def test_unreadable_input_is_dead_at_once(kind: str, tmp_path: Path) -> None:
    """What is no event, of no known type, or of the wrong shape can't be mended by trying again."""
    registry = Registry()

    @function(on=Sent | Delivered, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, workers=0) as place:
        (sent,) = await place.send("p0")
        odd = sent.model_copy(update={"type": "toy.odd.v1", "subject": "p1"})
        wrong = sent.model_copy(update={"data": {"parcel": 5}, "subject": "p2"})
        for payload in (b"no event", odd.encode(), wrong.encode(), b"x" * 700_000):
            await place.bus.publish("media.sent.box.standard.p9.0.x", payload)
        await place.work()
        await place.settled()
        letters = await place.letters()
        assert len(await place.events("weighed")) == 1
    assert [letter.sequence for letter in letters] == [2, 3, 4, 5]
    assert {(letter.error, letter.attempts) for letter in letters} == {("Unreadable", 0)}
    assert "no model for toy.odd.v1" in letters[1].message
    assert "not a valid Sent: parcel:" in letters[2].message


@on_both
async def test_heartbeats_end_with_the_timeout(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that hangs past its timeout keeps its input from nobody: another process gets it after `ack_wait`."""
    monkeypatch.setattr("events.patience.STOP_SECONDS", 60.0)
    registry = Registry()
    runs: list[int] = []
    enough = asyncio.Event()

    @function(on=Sent, into=registry, timeout=0.3, concurrency=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        while len(runs) == 1 and not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                continue
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, policy=replace(FAST, ack_wait=0.5), workers=2) as place:
        await place.send("p1")
        await place.event("weighed", "p1")
        enough.set()
        assert len(runs) == 2


@on_both
async def test_late_heartbeat_does_not_run_it_twice(kind: str, tmp_path: Path) -> None:
    """Delivered again to the process that works on it, an input is not begun again; it is acknowledged once."""
    registry = Registry()
    runs: list[int] = []
    go_on = asyncio.Event()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        await go_on.wait()
        return Weighed(parcel=event.parcel)

    async with post(kind, tmp_path, registry, policy=replace(FAST, ack_wait=0.3), workers=0) as place:
        worker = await place.work(replace(FAST, ack_wait=300.0))
        await place.send("p1")

        async def again() -> bool:
            (runner,) = worker.runners
            return any(delivery.message.delivered > 2 for delivery in runner._running.values())  # pyright: ignore[reportPrivateUsage]

        await until(again, "delivered twice more")
        go_on.set()
        await place.settled()
    assert len(runs) == 1
