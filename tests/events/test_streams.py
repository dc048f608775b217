"""Streams and consumers: what provisioning asks for, and what it reports."""

from pathlib import Path
from typing import Any

from events.bus import ConsumerSpec
from events.registry import Registry, Tick, function
from events.streams import DAY, Retention, consumers, provision, streams
from tests.events.domain import Fact, Note, Sent, Weighed, application, on_both, post, until


def registered() -> Registry:
    """One function of each sort."""
    registry = Registry()

    @function(on=Sent | Weighed, kinds=("box", "bag"), into=registry)
    async def weigh(event: Sent, ctx: Any) -> None:
        """Weigh it.

        And nothing else.
        """

    @function(on=Fact, batch=2000, into=registry)
    async def record(event: Any, ctx: Any) -> None: ...

    @function(on=Note, into=registry)
    async def receive(event: Note, ctx: Any) -> None: ...

    @function(every=5, into=registry)
    async def sweep(event: Tick, ctx: Any) -> None: ...

    return registry


def test_consumers_take_what_their_functions_take() -> None:
    """Each function's consumer reads its inputs' subjects, and what is given to it alone; ticks one at a time."""
    weigh, record, receive, sweep = (spec for each in registered() for spec in consumers(each, application(), 9))
    assert weigh == ConsumerSpec(
        "MEDIA",
        "weigh",
        (
            "media.sent.box.>",
            "media.sent.bag.>",
            "media.weighed.box.>",
            "media.weighed.bag.>",
            "invoke.weigh.>",
        ),
        ack_wait=9,
        max_ack_pending=5000,
        description="Weigh it.",
        after=("weigh-premium", "weigh-standard", "weigh-bulk"),
    )
    assert (record.subjects, record.max_ack_pending) == (("media.>", "invoke.record.>"), 4 * 8 * 2000)
    assert (receive.stream, receive.subjects) == ("UPLOADS", ("minio.>",))
    assert (sweep.stream, sweep.subjects, sweep.max_ack_pending) == ("TICKS", ("tick.sweep",), 1)


def test_streams_keep_what_was_promised() -> None:
    """Five streams: 7 days of events, 90 of dead letters, one of ticks; subscribers' is made from MEDIA."""
    found = {spec.name: spec for spec in streams(Retention(replicas=3))}
    assert list(found) == ["UPLOADS", "MEDIA", "EVENTS", "DEAD", "TICKS"]
    assert {name: spec.max_age / DAY for name, spec in found.items()} == {
        "UPLOADS": 7,
        "MEDIA": 7,
        "EVENTS": 7,
        "DEAD": 90,
        "TICKS": 0,
    }
    assert {spec.replicas for spec in found.values()} == {3}
    assert {spec.duplicate_window for spec in found.values()} == {600}
    assert [name for name, spec in found.items() if not spec.fsync] == ["EVENTS"]
    assert found["TICKS"].max_per_subject > 1, "what is worked on isn't replaced by the next tick"


@on_both
async def test_provisioning_again_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Everything is there afterwards; the second time everything is unchanged; an unknown consumer is reported."""
    registry = registered()
    async with post(kind, tmp_path, registry, workers=0) as place:
        again = await provision(place.bus, place.application, place.functions, Retention(), place.policy.ack_wait)
        assert {change.action for change in again} == {"unchanged"}
        fewer = await provision(place.bus, place.application, place.functions[:1], Retention(), place.policy.ack_wait)
        assert {change.what for change in fewer if change.action == "extra"} == {
            "consumer MEDIA.record",
            "consumer UPLOADS.receive",
            "consumer TICKS.sweep",
        }


@on_both
async def test_subscribers_read_events_without_ids(kind: str, tmp_path: Path) -> None:
    """What is published in MEDIA appears in EVENTS by its name and kind; what is given to one function doesn't."""
    async with post(kind, tmp_path, Registry()) as place:
        await place.send("p1")
        await place.bus.publish("invoke.weigh.standard.p1", b"{}")
        await place.send("p2")

        async def there() -> list[str]:
            return [stored.subject async for stored in place.bus.read("EVENTS", ["events.>"])]

        async def two() -> bool:
            return len(await there()) == 2

        await until(two, "two events")
        assert await there() == ["events.sent.box"] * 2
