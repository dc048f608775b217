"""The fold: any order, any repetition, any number of writers, the same document."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.document import KEPT_LOSERS, STATES, CloudEvent, Fold, canonical, event_name
from tests.schemas.recording import RECORDED

MEDIA = "01a204b3-bd5e-70fe-a755-e77b96e2ca69"
RUNS = ("0", "01a204b3-0000-7000-8000-000000000001", "01a204b3-0000-7000-8000-000000000002")
LATER, LATEST = RUNS[1:]
WAY = ("requested", "uploaded", "identified", "scanned", "probed", "promoted", "ready")
PARTS = {
    **dict(zip(WAY, ("gateway", "receive", "identify", "scan", "probe", "promote", "finish"), strict=True)),
    "abandoned": "sweep",
    "deleted": "gateway",
    "quarantined": "scan",
    "discarded": "discard-promoted",
}


def made(
    name: str, part: str | None = None, run: str = "0", identity: str = "", minute: int = 0, **data: Any
) -> CloudEvent:
    """An event by hand."""
    part = part or PARTS[name]
    return {
        "id": identity or f"{name}/{part}/{run}",
        "type": f"tidegate.media.{name}.v1",
        "source": f"/functions/{part}",
        "subject": MEDIA,
        "time": f"2026-01-02T03:{minute:02}:00.000000Z",
        "run": run,
        "part": part,
        "lane": "standard",
        "data": {"media": {"media_id": MEDIA, "owner": "alice"}, **data},
    }


def way(until: str, run: str = "0", since: str = "requested") -> list[CloudEvent]:
    """The events of a good file from one name to another."""
    return [made(name, run=run) for name in WAY[WAY.index(since) : WAY.index(until) + 1]]


def fold(*events: CloudEvent) -> Fold:
    """The fold of events."""
    return Fold.of(MEDIA, events)


EVENT = st.builds(
    made,
    st.sampled_from([*WAY, "failed", "rejected", "quarantined", "deleted", "abandoned", "renamed"]),
    st.sampled_from(["receive", "identify", "scan", "promote", "poster"]),
    st.sampled_from(RUNS),
    st.sampled_from(["", "a", "b"]),
    st.integers(0, 3),
)
VERSIONS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(KEPT_LOSERS + 8)]


@given(st.lists(EVENT, max_size=12), st.randoms())
def test_order_and_repetition_do_not_matter(events: list[CloudEvent], shuffler: random.Random) -> None:
    """Shuffled and with duplicates, the same events give the same bytes."""
    again = [*events, *events[::2]]
    shuffler.shuffle(again)
    assert fold(*again).text() == fold(*events).text()


@given(st.lists(EVENT, max_size=8), st.lists(EVENT, max_size=8), st.lists(EVENT, max_size=8))
def test_merging_is_commutative_associative_and_idempotent(
    one: list[CloudEvent], two: list[CloudEvent], three: list[CloudEvent]
) -> None:
    """Documents merge in any order and grouping to the fold of all their events."""
    left, right = fold(*one), fold(*three)
    left.merge(fold(*two))
    left.merge(fold(*three))
    middle = fold(*two)
    right.merge(fold(*one))
    middle.merge(right)
    assert left.text() == middle.text() == fold(*one, *two, *three).text()
    assert not left.merge(middle)


@given(st.lists(EVENT, max_size=12))
def test_stored_and_read_again_it_is_the_same(events: list[CloudEvent]) -> None:
    """Parsing what was stored gives the same fold, state and text."""
    folded = fold(*events)
    parsed = Fold.parse(folded.text())
    assert parsed == folded
    assert parsed.document() == folded.document()
    assert folded.state() in STATES


@pytest.mark.parametrize("name", ["ready", "condemned"])
@given(shuffler=st.randoms())
def test_recorded_history_folds_the_same_in_any_order(name: str, shuffler: random.Random) -> None:
    """Real events of a media on which everything happened give one document in any order."""
    events: list[CloudEvent] = json.loads(RECORDED.read_text())[name]
    media_id = events[0]["subject"]
    expected = Fold.of(media_id, events)
    assert expected.state() == {"ready": "ready", "condemned": "deleted"}[name]
    again = events + events[::3]
    shuffler.shuffle(again)
    assert Fold.of(media_id, again).text() == expected.text()


@given(st.lists(st.sampled_from(VERSIONS), max_size=3 * len(VERSIONS)), st.randoms())
def test_versions_that_lost_are_bounded(lost: list[str], shuffler: random.Random) -> None:
    """However often a form overwrites its key, the document keeps the same few losers in any order."""
    events = [made("overwritten", version) for version in lost]
    events += [made("discarded", f"discard-{version}", cause="overwritten") for version in lost]
    folded = fold(*events, made("discarded"))
    shuffler.shuffle(events)
    assert fold(made("discarded"), *events).text() == folded.text()
    kept = [part for part in folded.cells if not part.startswith("discard-")]
    assert sorted(kept) == sorted(set(lost))[:KEPT_LOSERS]
    assert "discard-promoted" in folded.cells


def test_success_outranks_failure_within_a_run() -> None:
    """A retry that succeeds reopens a failed media, whichever of the two is heard last."""
    failed, identified = made("failed", "identify"), made("identified")
    for events in ((failed, identified), (identified, failed)):
        assert event_name(fold(*events).cells["identify"]) == "identified"


def test_late_copy_with_one_id_is_decided_by_its_text() -> None:
    """Two events with one id and different times leave the same one, in either order."""
    early, late = made("scanned", minute=1), made("scanned", minute=2)
    assert fold(early, late).text() == fold(late, early).text() == fold(late).text()


def test_replay_replaces_only_what_it_touches() -> None:
    """A later run takes over its own cells; the others stay as they were."""
    first = way("ready")
    again = made("scanned", run=LATER, verdict={"status": "clean", "signatures": "new"})
    folded = fold(*first, again)
    assert folded.cells["scan"] == again
    assert {part: event for part, event in folded.cells.items() if part != "scan"} == {
        part: event for part, event in fold(*first).cells.items() if part != "scan"
    }
    assert folded.state() == "ready"
    assert folded.known()["media"]["owner"] == "alice"


def test_later_replay_wins_whatever_came_of_the_earlier() -> None:
    """Runs are compared as text: the latest replay's failure replaces an earlier one's success."""
    events = [*way("scanned"), made("scanned", run=LATER), made("failed", "scan", LATEST)]
    assert fold(*reversed(events)).state() == "failed"


@pytest.mark.parametrize("terminal", ["quarantined", "deleted"])
def test_tombstones_outrank_everything(terminal: str) -> None:
    """Condemned or deleted, a media stays so whatever else is said of it, later runs included."""
    events = [*way("ready", LATEST), made(terminal), made("failed", "poster", LATEST), made("abandoned")]
    assert fold(*events).state() == terminal
    assert fold(made("quarantined"), made("deleted"), *events).state() == "deleted"
    assert fold(*events, made("quarantined", run=LATEST), made("deleted")).state() == "deleted"


PROMISED = made("promoted", run=LATER, products=[{"name": "poster", "required": True}])
"""By a profile that does not promise a cover, or not any more."""

STATE_TABLE: list[tuple[str, list[CloudEvent]]] = [
    ("pending", []),
    ("pending", way("requested")),
    ("uploaded", way("uploaded")),
    ("uploaded", [*way("uploaded"), made("overwritten", VERSIONS[0])]),
    ("uploaded", [*way("uploaded"), made("abandoned")]),
    ("processing", way("identified")),
    ("processing", way("scanned")),
    ("processing", way("probed")),
    ("processing", way("promoted")),
    ("processing", [*way("promoted"), made("discarded")]),
    ("ready", way("ready")),
    ("ready", [*way("ready"), made("failed", "scan", LATER)]),
    ("ready", [*way("ready"), made("rejected", "probe", LATER)]),
    ("ready", [*way("ready"), made("failed", "poster", required=False)]),
    ("failed", [*way("ready"), made("failed", "poster", required=True)]),
    ("failed", [*way("scanned"), made("failed", "probe")]),
    ("failed", [*way("probed"), PROMISED, made("skipped", "poster", required=True, product="poster")]),
    ("failed", [*way("probed"), PROMISED, made("failed", "poster", products=["poster"])]),
    ("processing", [*way("probed"), PROMISED, made("failed", "cover", products=["cover"])]),
    ("ready", [*way("ready"), PROMISED, made("skipped", "cover", required=True, product="cover")]),
    ("failed", [*way("requested"), made("failed", "receive")]),
    ("uploaded", [*way("uploaded"), made("failed", "receive")]),
    ("processing", [*way("probed"), made("failed", "probe")]),
    ("rejected", [*way("uploaded"), made("rejected", "identify")]),
    ("rejected", [*way("scanned"), made("rejected", "probe"), made("discarded", "discard-rejected")]),
    ("rejected", [made("rejected", "receive")]),
    ("rejected", [*way("scanned"), made("failed", "probe"), made("rejected", "scan", LATER)]),
    ("failed", [*way("scanned"), made("rejected", "probe"), made("failed", "scan", LATER)]),
    ("quarantined", [*way("identified"), made("quarantined")]),
    ("quarantined", [*way("ready"), made("quarantined", run=LATER)]),
    ("abandoned", [*way("requested"), made("abandoned")]),
    ("deleted", [*way("requested"), made("deleted")]),
    ("deleted", [*way("ready"), made("deleted")]),
]


@pytest.mark.parametrize(("state", "events"), STATE_TABLE)
def test_state(state: str, events: list[CloudEvent]) -> None:
    """What happened, in any order, says where the media is."""
    assert fold(*events).state() == fold(*reversed(events)).state() == state


def test_table_has_every_state() -> None:
    """Every state that clients may see is in the table above."""
    assert {state for state, _ in STATE_TABLE} == set(STATES)


def test_unknown_events_and_fields_survive() -> None:
    """What a newer version or somebody else's function said is kept, and changes no state."""
    stranger = made("watermarked", "watermark", futuredata={"a": [1, 2.5, None]})
    newer = {**made("scanned", run=LATER), "type": "tidegate.media.scanned.v2", "futureextension": "x"}
    folded = fold(*way("ready"), stranger, newer)
    stored = Fold.parse(Fold.parse(folded.text()).text())
    assert stored.cells["watermark"] == stranger
    assert stored.cells["scan"]["futureextension"] == "x"
    assert stored.state() == "ready"
    assert event_name(newer) == "scanned"


@pytest.mark.parametrize("value", ["\0", "\ud7ff\U0001f30a", 2**70, -0.0, 1e300, {"": {}}, [None, True]])
def test_context_survives_as_it_was_said(value: object) -> None:
    """Whatever JSON a client may put into its context is the same after storing, BSON's limits included."""
    event = made("requested")
    event["data"]["media"]["context"] = {"value": value}
    folded = fold(event)
    assert Fold.parse(folded.text()).text() == folded.text()
    assert json.loads(folded.document()["fold"])["cells"]["gateway"] == event


def test_document_has_no_time_of_writing() -> None:
    """The document is a function of the events alone, down to its digest and times."""
    events = way("ready")
    document = fold(*events).document()
    assert canonical(document) == canonical(fold(*reversed(events)).document())
    assert document["updated_at"] == max(event["time"] for event in events)
    text = document["fold"]
    assert text.count("2026-") == len(events)
