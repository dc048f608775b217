"""Ids, trace context and bounds of what travels."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from events.envelope import MAX_BYTES, Envelope, begin, child_span, follow, root_span
from events.errors import Unreadable
from tests.events.domain import Delivered, Fact, Labelled, Sent, Weighed

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def sent(event_id: str = "input", run: str = "0", parcel: str = "p1", **options: Any) -> Envelope:
    """An input."""
    return begin(Sent(parcel=parcel), event_id=event_id, source="tests", lane="standard", run=run, **options)


def id_of(event: Fact, cause: Envelope | None = None, function: str = "weigh") -> str:
    """The id of what a function made of a cause."""
    return follow(event, cause=cause or sent(), function=function, version="1").id


def test_id_is_computed_from_the_input() -> None:
    """The same function makes the same id of the same input, whenever and wherever, whatever the event says."""
    assert id_of(Weighed(parcel="p1")) == id_of(Weighed(parcel="p1", note="heavier now"))


@pytest.mark.parametrize(
    "other",
    [
        id_of(Weighed(parcel="p1"), sent("another input")),
        id_of(Weighed(parcel="p1"), sent(run="1")),
        id_of(Weighed(parcel="p1"), function="measure"),
        id_of(Weighed(parcel="p1", scale="new")),
        id_of(Sent(parcel="p1")),
        id_of(Labelled(parcel="p1", label=1)),
        id_of(Labelled(parcel="p1", label=2)),
    ],
)
def test_id_differs_with_what_the_event_follows_from(other: str) -> None:
    """Another input, run, function, variant, type or part is another event."""
    assert id_of(Weighed(parcel="p1")) != other


def test_parts_differ_in_their_ids() -> None:
    """Two outputs of one function and type are told apart by their part."""
    assert id_of(Labelled(parcel="p1", label=1)) != id_of(Labelled(parcel="p1", label=2))


def test_basis_takes_the_place_of_the_input() -> None:
    """An event with a basis has one id whichever input it follows from, and another one in another run."""
    delivered = Delivered(parcel="p1")
    assert id_of(delivered, sent("one")) == id_of(delivered, sent("two"))
    assert id_of(delivered, sent("one")) != id_of(delivered, sent("one", run="1"))


def test_what_follows_names_its_cause() -> None:
    """Lane, run and replay go along; the cause, the function and its version are named."""
    cause = sent(run="1").model_copy(update={"replayname": "new signatures"})
    envelope = follow(Weighed(parcel="p1"), cause=cause, function="weigh", version="7", now=NOON)
    assert (envelope.lane, envelope.run, envelope.replayname) == ("standard", "1", "new signatures")
    assert (envelope.causationid, envelope.source, envelope.functionversion) == ("input", "/functions/weigh", "7")
    assert (envelope.subject, envelope.part, envelope.time) == ("p1", "weigh", NOON)


def test_trace_goes_on_with_a_span_of_its_own() -> None:
    """What follows is in the same trace, in another span, with the flags of the parent; twice is the same span."""
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-00"
    cause = sent(traceparent=parent)
    envelope = follow(Weighed(parcel="p1"), cause=cause, function="weigh", version="1")
    version, trace, span, flags = envelope.traceparent.split("-")
    assert (version, trace, flags) == ("00", "a" * 32, "00")
    assert span != "b" * 16
    again = follow(Weighed(parcel="p1"), cause=cause, function="weigh", version="1")
    assert again.traceparent == envelope.traceparent


@pytest.mark.parametrize("parent", ["x", "00-1-2-3", "00-" + "g" * 32 + "-" + "b" * 16 + "-00"])
def test_broken_trace_is_begun_anew(parent: str) -> None:
    """A stranger's trace context can't stop an event: a new trace begins."""
    assert child_span(parent, "seed") == root_span("seed")


def test_travels_as_structured_json() -> None:
    """Encoded and decoded, an envelope is the same; what isn't there isn't written; its attributes are CloudEvents'."""
    envelope = sent()
    payload = json.loads(envelope.encode())
    assert "causationid" not in payload
    assert payload["specversion"] == "1.0"
    assert payload["type"] == "toy.sent.v1"
    assert all(name.isalnum() and name.islower() for name in payload)
    again = Envelope.decode(envelope.encode())
    assert again == envelope.model_copy(update={"data": {"parcel": "p1", "note": ""}})


def test_newer_attributes_are_ignored() -> None:
    """An attribute of a later version doesn't make an event unreadable."""
    payload = json.loads(sent().encode()) | {"later": "yes"}
    assert Envelope.decode(json.dumps(payload).encode()).id == "input"


def test_event_over_64_kib_is_an_error() -> None:
    """A larger event is refused on the way out, with its type and size, and on the way in."""
    large = begin(Sent(parcel="p1", note="x" * MAX_BYTES), event_id="1", source="tests", lane="standard")
    with pytest.raises(ValueError, match=r"toy\.sent\.v1 of p1 has 6\d{4} bytes"):
        large.encode()
    with pytest.raises(Unreadable, match="at most"):
        Envelope.decode(json.dumps(large.model_dump(mode="json")).encode())


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"specversion": "0.3"}', b"[]", b"null", b"[" * 5000])
def test_what_is_no_event_is_unreadable(payload: bytes) -> None:
    """Whatever arrives, the answer is that it can't be read."""
    with pytest.raises(Unreadable, match="not a CloudEvent"):
        Envelope.decode(payload)


@pytest.mark.parametrize("name", ["subject", "lane", "run", "part"])
@pytest.mark.parametrize("value", ["", "two tokens", "a.b", "*", ">", "a\n", "x" * 129])
def test_tokens_of_a_subject_are_tokens(name: str, value: str) -> None:
    """What becomes part of a NATS subject can't change which subject it is, neither coming in nor going out."""
    payload = json.loads(sent().encode()) | {name: value}
    with pytest.raises(Unreadable, match=name):
        Envelope.decode(json.dumps(payload).encode())
    with pytest.raises(ValidationError):
        Envelope(**payload)


def test_problems_are_told_without_values() -> None:
    """What is wrong is named without the value: it may be a file's name, and it is logged."""
    payload = json.loads(sent().encode()) | {"lane": "my secret.pdf"}
    with pytest.raises(Unreadable) as caught:
        Envelope.decode(json.dumps(payload).encode())
    assert "secret" not in str(caught.value)
