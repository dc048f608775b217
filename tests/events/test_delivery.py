"""From an input to what follows from it: published once however often it runs, and before the input is acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from events import failpoints
from events.envelope import Envelope, derive_id
from events.errors import Reject
from events.invoke import Invoke
from events.registry import Because, First, Registry, function
from tests.events.domain import (
    Delivered,
    Labelled,
    Note,
    Refused,
    Sent,
    Weighed,
    counted,
    on_both,
    post,
    until,
)


@on_both
async def test_what_is_returned_follows(kind: str, tmp_path: Path) -> None:
    """An event is published for an input, names it as its cause, and the input is acknowledged."""
    registry = Registry()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Envelope) -> Weighed:
        return Weighed(parcel=event.parcel, note=ctx.id)

    before = counted("weigh", "done")
    async with post(kind, tmp_path, registry) as place:
        (sent,) = await place.send("p1")
        weighed = await place.event("weighed", "p1")
        await place.settled()
        assert (weighed["causationid"], weighed["data"]["note"]) == (sent.id, sent.id)
        assert weighed["traceparent"].split("-")[1] == sent.traceparent.split("-")[1]
        assert await place.letters() == []
    assert counted("weigh", "done") == before + 1


@on_both
async def test_list_fans_out(kind: str, tmp_path: Path) -> None:
    """Each member of a list is an event of its own; None among them is none."""
    registry = Registry()

    @function(on=Sent, into=registry)
    async def label(event: Sent, ctx: Any) -> list[Labelled | None]:
        return [Labelled(parcel=event.parcel, label=1), None, Labelled(parcel=event.parcel, label=2)]

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.event("labelled", "p1")
        await place.settled()
        labels = await place.events("labelled")
    assert [event["part"] for event in labels] == ["label-1", "label-2"]
    assert len({event["id"] for event in labels}) == 2


@on_both
async def test_none_emits_nothing(kind: str, tmp_path: Path) -> None:
    """A function that returns nothing is done."""
    registry = Registry()
    ran: list[str] = []

    @function(on=Sent, into=registry)
    async def look(event: Sent, ctx: Any) -> None:
        ran.append(event.parcel)

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.settled()
        assert [event["type"] for event in await place.events()] == ["toy.sent.v1"]
    assert ran == ["p1"]


@on_both
async def test_yielded_outputs_are_published_as_they_come(kind: str, tmp_path: Path) -> None:
    """An output of an async generator is stored before the next one is asked for."""
    registry = Registry()
    go_on = asyncio.Event()

    @function(on=Sent, into=registry)
    async def label(event: Sent, ctx: Any) -> AsyncIterator[Labelled]:
        yield Labelled(parcel=event.parcel, label=1)
        await go_on.wait()
        yield Labelled(parcel=event.parcel, label=2)

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.event("labelled", "p1")
        assert len(await place.events("labelled")) == 1
        go_on.set()
        await place.settled()
        assert len(await place.events("labelled")) == 2


@on_both
async def test_first_of_two_wins(kind: str, tmp_path: Path) -> None:
    """Of two racing `First`s one is published; the other says what follows instead."""
    registry = Registry()

    @function(on=Sent, into=registry, concurrency=8)
    async def deliver(event: Sent, ctx: Any) -> First[Delivered] | Refused:
        async def late() -> Refused:
            return Refused(parcel=event.parcel, code="late")

        return First(Delivered(parcel="door", note=event.parcel), among="media.delivered.*.*.door.>", otherwise=late)

    async with post(kind, tmp_path, registry, workers=2) as place:
        await place.send(*(f"p{number}" for number in range(8)))
        await place.settled()
        (winner,) = await place.events("delivered")
        refused = {event["subject"] for event in await place.events("refused")}
    assert refused | {winner["data"]["note"]} == {f"p{number}" for number in range(8)}
    assert len(refused) == 7


@on_both
async def test_because_names_another_cause(kind: str, tmp_path: Path) -> None:
    """An output may follow from another event than the input: its run, lane and trace are that event's."""
    registry = Registry()
    other = Envelope.model_validate(
        {
            "id": "other",
            "type": "toy.sent.v1",
            "source": "/tests",
            "subject": "p9",
            "time": "2026-01-01T00:00:00Z",
            "dataschema": "urn:x",
            "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
            "lane": "bulk",
            "run": "7",
            "part": "tests",
            "data": {},
        }
    )

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Because[Weighed]:
        return Because(Weighed(parcel="p9"), other)

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        weighed = await place.event("weighed", "p9")
        await place.settled()
    assert (weighed["causationid"], weighed["run"], weighed["lane"]) == ("other", "7", "bulk")
    assert "a" * 32 in weighed["traceparent"]


@on_both
async def test_invoked_function_alone_gets_the_event(kind: str, tmp_path: Path) -> None:
    """An event given to one function goes to nobody else; what follows from it goes the normal way."""
    registry = Registry()
    looked: list[str] = []

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel)

    @function(on=Sent, into=registry)
    async def look(event: Sent, ctx: Any) -> None:
        looked.append(event.parcel)

    async with post(kind, tmp_path, registry) as place:
        (sent,) = await place.send("p1")
        await place.settled()
        replayed = sent.model_copy(update={"run": "1", "replayname": "again"})
        await Invoke("weigh", replayed).publish(place.bus, "tests")
        await until(lambda: _count(place.events("weighed"), 2), "two weighed")
        await place.settled()
        assert [event["run"] for event in await place.events("weighed")] == ["0", "1"]
        assert (await place.events("weighed"))[1]["replayname"] == "again"
    assert looked == ["p1"]


async def _count(found: Any, count: int) -> bool:
    return len(await found) == count


@on_both
async def test_inputs_and_outputs_from_elsewhere(kind: str, tmp_path: Path) -> None:
    """A source is read with its own decoder, an output with an encoder goes its own way."""
    registry = Registry()

    @function(on=Note, into=registry)
    async def receive(event: Note, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel)

    @function(on=Weighed, into=registry)
    async def find(event: Weighed, ctx: Any) -> Note | None:
        return Note(parcel="p2") if event.parcel == "p1" else None

    async with post(kind, tmp_path, registry) as place:
        await place.bus.publish("minio.fast", b'{"parcel": "p1"}')
        await place.event("weighed", "p2")
        await place.settled()
        await place.settled("UPLOADS")


@pytest.mark.parametrize("point", ["taken", "handled", "published"])
@on_both
async def test_death_before_the_acknowledgement_changes_nothing(kind: str, point: str, tmp_path: Path) -> None:
    """Given up at any point before the acknowledgement, the input comes again and what follows has the same id."""
    registry = Registry()
    runs: list[int] = []
    stopped = asyncio.Event()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        return Weighed(parcel=event.parcel)

    def die_once(name: str) -> None:
        if name == f"weigh.{point}" and not stopped.is_set():
            stopped.set()
            raise asyncio.CancelledError

    failpoints.install(die_once)
    try:
        async with post(kind, tmp_path, registry) as place:
            (sent,) = await place.send("p1")
            await stopped.wait()
            weighed = await place.event("weighed", "p1")
            await place.settled()
            events = await place.events("weighed")
    finally:
        failpoints.install(None)
    assert {event["id"] for event in events} == {derive_id("weigh", sent.id, "0", "toy.weighed.v1", "weigh", "")}
    assert weighed["causationid"] == sent.id
    assert len(runs) == (1 if point == "taken" else 2)


@on_both
async def test_published_before_acknowledged(kind: str, tmp_path: Path) -> None:
    """At the moment of the acknowledgement, what follows is in the stream."""
    registry = Registry()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        return Weighed(parcel=event.parcel)

    points: list[str] = []
    failpoints.install(points.append)
    try:
        async with post(kind, tmp_path, registry) as place:
            await place.send("p1")
            await place.event("weighed", "p1")
            await place.settled()
    finally:
        failpoints.install(None)
    assert points == ["weigh.taken", "weigh.handled", "weigh.published", "weigh.acked"]


@on_both
async def test_rejected_is_an_outcome(kind: str, tmp_path: Path) -> None:
    """A rejected input is an event and acknowledged: no attempt is counted, nothing is retried."""
    registry = Registry()
    runs: list[int] = []

    @function(on=Sent, into=registry)
    async def judge(event: Sent, ctx: Any) -> Weighed:
        runs.append(1)
        raise Reject("too_heavy", "Take some bricks out.")

    before = counted("judge", "outcome")
    async with post(kind, tmp_path, registry) as place:
        (sent,) = await place.send("p1")
        refused = await place.event("refused", "p1")
        await place.settled()
        assert (refused["data"]["code"], refused["causationid"]) == ("too_heavy", sent.id)
        assert await place.trial("judge", 1) is None
        assert await place.letters() == []
    assert len(runs) == 1
    assert counted("judge", "outcome") == before + 1


@on_both
async def test_batches_are_taken_together(kind: str, tmp_path: Path) -> None:
    """A batch function gets up to `batch` envelopes at once, and the first waits no longer than `linger`."""
    registry = Registry()
    batches: list[list[str]] = []

    @function(on=Sent, into=registry, batch=4, linger=0.2, concurrency=1)
    async def record(events: Sequence[dict[str, Any]], ctx: Any) -> None:
        batches.append([event["subject"] for event in events])

    async with post(kind, tmp_path, registry, workers=0) as place:
        await place.send(*(f"p{number}" for number in range(9)))
        await place.work()
        await place.settled()
    assert [len(batch) for batch in batches] == [4, 4, 1]
    assert [parcel for batch in batches for parcel in batch] == [f"p{number}" for number in range(9)]


@on_both
async def test_poison_in_a_batch_dies_alone(kind: str, tmp_path: Path) -> None:
    """One event that a batch can't take is tried alone and dead-lettered; the others are done, whatever was raised."""
    registry = Registry()
    recorded: set[str] = set()

    @function(on=Sent, into=registry, batch=8, linger=0.2, announces_failure=False)
    async def record(events: Sequence[dict[str, Any]], ctx: Any) -> None:
        subjects = {event["subject"] for event in events}
        if "bad" in subjects:
            raise ValueError("bad one")
        if "worse" in subjects:
            raise Reject("bad", "A batch has no one input to reject.")
        recorded.update(subjects)

    async with post(kind, tmp_path, registry, workers=0) as place:
        await place.send("p1", "bad", "p2", "worse", "p3")
        await place.bus.publish("media.sent.box.standard.p4.0.x", b"no event")
        await place.work()
        await place.settled()
        letters = {letter.about: letter.error for letter in await place.letters()}
    assert recorded == {"p1", "p2", "p3"}
    assert letters == {"bad": "ValueError", "worse": "Reject", "unknown": "Unreadable"}
