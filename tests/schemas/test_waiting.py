"""Whom a media waits for: before promotion one after another, afterwards whoever makes what is missing."""

from typing import Any

import pytest

from events.registry import load
from schemas.document import CloudEvent, Fold
from schemas.waiting import CLIENT, Taker, takers, unmade, waiting
from tests.schemas.test_document import WAY, made

INSTALLED = takers(load())
MEDIA_OF_ALICE = {"media": {"media_id": "m", "owner": "alice"}}


def taker(name: str, takes: str, emits: str = "done", kinds: str = "", products: str = "") -> Taker:
    """A function by hand; words are separated by spaces."""
    return Taker(
        name,
        takes=frozenset(takes.split()),
        emits=frozenset(emits.split()),
        kinds=frozenset(kinds.split()),
        products=frozenset(products.split()),
    )


HERE = (
    taker("identify", "uploaded", "identified"),
    taker("scan", "identified", "scanned"),
    taker("probe", "scanned", "probed"),
    taker("promote", "probed", "promoted"),
    taker("finish", "promoted done skipped failed", "ready"),
    taker("discard", "promoted done rejected", "discarded"),
    taker("render_image", "promoted", kinds="image", products="sizes"),
    taker("render_sound", "promoted", kinds="audio", products="sound"),
    taker("draw_waveform", "promoted", kinds="audio", products="waveform"),
    taker("read_tags", "promoted", kinds="audio", products="tags"),
    taker("plan_video", "promoted", "planned cut", "video", "stream"),
    taker("encode_audio", "planned", "encoded", "video", "stream"),
    taker("encode_chunk", "cut", "encoded", "video", "stream"),
    taker("package_video", "encoded", "playable done", "video", "stream"),
)


def names(events: list[CloudEvent], among: tuple[Taker, ...] = HERE, **options: Any) -> list[str]:
    """The names of who has the next say."""
    return sorted(taker.name for taker in waiting(Fold.of("m", events), events, among, **options))


def until(event: str) -> list[CloudEvent]:
    """The events of a good file up to this one, a minute between them."""
    return [made(name, minute=minute) for minute, name in enumerate(WAY[: WAY.index(event) + 1])]


def promoted(kind: str, **required: bool) -> list[CloudEvent]:
    """A media that was promoted with these products."""
    identity = {"kind": kind, "content_type": "x/y", "extension": "x"}
    products = [{"name": name, "required": one} for name, one in required.items()]
    facts = {"identity": identity, "products": products}
    return [*until("probed"), made("promoted", identity="promoted", minute=5) | {"data": facts | MEDIA_OF_ALICE}]


def said(name: str, by: str, cause: str, identity: str = "", **data: Any) -> CloudEvent:
    """What a function made of an event."""
    return made(name, data.get("product", by), identity=identity or f"{name}/{cause}/{by}", minute=6, **data) | {
        "causationid": cause,
        "source": f"/functions/{by}",
    }


def test_before_promotion_it_is_who_takes_the_newest_event() -> None:
    """The client, then one function after another; nobody at the end."""
    assert waiting(Fold.of("m", until("requested")), until("requested"), HERE) == [CLIENT]
    for event, function in (
        ("uploaded", "identify"),
        ("identified", "scan"),
        ("scanned", "probe"),
        ("probed", "promote"),
    ):
        assert names(until(event)) == [function]
    assert names(until("ready")) == []
    assert names([*until("scanned"), made("rejected", "probe", code="x")]) == []


@pytest.mark.parametrize(
    ("kind", "products", "expected"),
    [
        ("image", {"sizes": True}, ["render_image"]),
        ("audio", {"waveform": False, "tags": False}, ["draw_waveform", "read_tags"]),
        ("document", {"page": True}, []),
        ("video", {"stream": True}, ["plan_video"]),
    ],
)
def test_after_promotion_it_is_who_makes_what_is_missing(
    kind: str, products: dict[str, bool], expected: list[str]
) -> None:
    """Side by side, of this kind alone, neither `finish` nor `discard` among them."""
    assert names(promoted(kind, **products)) == expected


def test_a_product_that_ended_is_waited_for_no_more() -> None:
    """Done, skipped or failed; and once all have, `finish` has its say."""
    events = promoted("audio", sound=True, waveform=False, tags=False)
    assert names(events) == ["draw_waveform", "read_tags", "render_sound"]
    events.append(said("skipped", "tags", "promoted", product="tags", code="x", reason="", required=False))
    events.append(said("done", "sound", "promoted", product="sound"))
    assert names(events) == ["draw_waveform"]
    events.append(made("failed", "waveform", products=["waveform"], required=False, function="x", error=""))
    assert names(events) == ["finish"]


def test_a_video_waits_for_its_pieces_and_then_for_who_packages_them() -> None:
    """The plan, then chunks and sound side by side; the fan-in only when nothing is left that it waits for."""
    events = promoted("video", stream=True)
    assert names(events) == ["plan_video"]
    events += [
        said("planned", "plan_video", "promoted", "planned"),
        said("cut", "plan_video", "promoted", "cut-0"),
        said("cut", "plan_video", "promoted", "cut-1"),
    ]
    assert names(events) == ["encode_audio", "encode_chunk"]
    events += [said("encoded", "encode_audio", "planned", "a"), said("encoded", "encode_chunk", "cut-0", "c0")]
    assert names(events) == ["encode_chunk"]
    events += [said("encoded", "encode_chunk", "cut-1", "c1")]
    assert names(events) == ["package_video"]
    events += [said("done", "stream", "c1", product="stream")]
    assert names(events) == ["finish"]


def test_the_functions_that_are_installed_are_known() -> None:
    """Of every kind the ones that make its products are waited for, and who takes batches is not."""
    for kind, product, function in (
        ("image", "sizes", "render_image"),
        ("video", "stream", "plan_video"),
        ("audio", "tags", "read_tags"),
        ("document", "page", "render_page"),
    ):
        events = promoted(kind, **{product: True})
        assert function in names(events, INSTALLED)
        assert not {"finish", "discard", "record"}.intersection(names(events, INSTALLED))
    chunks = next(taker for taker in INSTALLED if taker.name == "encode_chunk")
    assert chunks.lanes
    assert "record" not in {taker.name for taker in INSTALLED}


def test_with_events_missing_it_is_whoever_makes_it() -> None:
    """Where not all events are known, nobody is left out who may be at work."""
    events = promoted("video", stream=True)
    expected = ["encode_audio", "encode_chunk", "package_video", "plan_video"]
    assert names(events, complete=False) == expected


def test_what_nobody_makes_is_named() -> None:
    """A promised product without a function, and no other; nothing once it ended."""
    events = promoted("image", sizes=True, hologram=True)
    assert unmade(Fold.of("m", events), HERE) == ["hologram"]
    assert unmade(Fold.of("m", until("ready")), HERE) == []
    assert names(promoted("image", hologram=True)) == []
