"""`dead`, `functions` and `health`: what is wrong is named, and can be tried again."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.graph import flowchart, in_order, loose_ends
from events.dead import DeadLetter
from events.envelope import derive_id
from events.nats import NatsBus
from events.registry import Registry, function, load
from schemas.events import Deleted, Identified, Probed, Requested, Scanned
from schemas.model import LANES
from tests.cli.conftest import Installed
from tests.cli.running import eventually, frozen, pid_of, tidegate


async def bury(installed: Installed, event: dict[str, Any] | None, function: str = "scan") -> DeadLetter:
    """Write a dead letter, as a worker does when it gives up."""
    about = event["subject"] if event else "unknown"
    letter = DeadLetter(
        letter_id=derive_id("test", about),
        function=function,
        functionversion="1",
        stream="MEDIA",
        sequence=1,
        subject=f"media.identified.document.standard.{about}.0.identify",
        about=about,
        lane="standard",
        attempts=5,
        error="ZeroDivisionError",
        message="division by zero",
        traceback="Traceback (most recent call last): …",
        time=datetime.now(UTC),
        event=event,
    )
    bus = await NatsBus.connect(installed.info.settings().nats_url, name="test")
    try:
        await bus.publish(letter.dead_subject, letter.model_dump_json(exclude_none=True).encode())
    finally:
        await bus.aclose()
    return letter


@pytest.fixture
async def swept_dead(installed: Installed) -> AsyncGenerator[None]:
    """Whatever a test does, no dead letter of it stays."""
    yield
    bus = await NatsBus.connect(installed.info.settings().nats_url, name="test")
    try:
        async for stored in bus.read("DEAD", ["dead.>"]):
            await bus.delete("DEAD", stored.sequence)
    finally:
        await bus.aclose()


async def test_a_dead_letter_is_listed_shown_and_retried(
    installed: Installed, ready: dict[str, Any], swept_dead: None
) -> None:
    """Retried, its event goes to its function again in its own run, and the letter is gone."""
    told = installed.tidegate("trace", ready["media_id"], "--json").json
    event = next(each for each in told["events"] if each["type"].endswith("identified.v1"))
    event.pop("sequence")
    letter = await bury(installed, event)

    listed = installed.tidegate("dead", "ls", "--function", "scan", "--json")
    assert listed.code == 1
    assert [each["letter_id"] for each in listed.json["dead_letters"]] == [letter.letter_id]
    assert "ZeroDivisionError" in installed.tidegate("dead", "show", letter.letter_id[:8]).out
    assert installed.tidegate("health", "--json").json["problems"] == ["dead letters"]
    assert (
        installed.tidegate("trace", ready["media_id"], "--json").json["dead_letters"][0]["error"] == "ZeroDivisionError"
    )

    retried = installed.tidegate("dead", "retry", letter.letter_id, "--json")
    assert (retried.code, retried.json["retried"]) == (0, [letter.letter_id])
    assert installed.tidegate("dead", "ls", "--json").json == {"dead_letters": []}
    given = eventually(lambda: installed.tidegate("trace", ready["media_id"], "--json").json["given"])
    assert (given[-1]["function"], given[-1]["run"]) == ("scan", event["run"])


async def test_a_dead_letter_without_its_input_stays(installed: Installed, swept_dead: None) -> None:
    """What was too large to be kept can't be given again: exit code 1 says so, and the letter stays."""
    letter = await bury(installed, None)
    answer = installed.tidegate("dead", "retry", "--all", "--json")
    assert answer.code == 1
    assert letter.letter_id in answer.json["failed"]
    assert len(installed.tidegate("dead", "ls", "--json").json["dead_letters"]) == 1
    assert installed.tidegate("dead", "show", "ffffffff").code == 1
    assert installed.tidegate("dead", "retry").code == 2


async def test_a_dead_letter_of_a_removed_function_stays(
    installed: Installed, ready: dict[str, Any], swept_dead: None
) -> None:
    """Nobody would take its event: the letter is kept, and what to do is said."""
    told = installed.tidegate("trace", ready["media_id"], "--json").json
    event = next(each for each in told["events"] if each["type"].endswith("ready.v1"))
    event.pop("sequence")
    letter = await bury(installed, event, "removed")
    answer = installed.tidegate("dead", "retry", "--all")
    assert answer.code == 1
    assert "removed has no consumer" in " ".join(answer.out.split())
    assert len(installed.tidegate("dead", "ls", "--json").json["dead_letters"]) == 1
    assert installed.tidegate("dead", "retry", letter.letter_id, "--json").json["retried"] == []


def test_functions_shows_the_graph_with_lag_and_workers(installed: Installed) -> None:
    """Each function with what it takes and emits, and how its consumer stands; no loose ends."""
    answer = installed.tidegate("functions", "--check", "--json")
    assert (answer.code, answer.json["findings"]) == (0, [])
    named = {each["name"]: each for each in answer.json["functions"]}
    assert (named["scan"]["takes"], named["scan"]["emits"]) == (["identified"], ["scanned", "quarantined"])
    assert {lane for lane, each in named["scan"]["lanes"].items() if each["workers"] >= 1} == set(LANES)
    assert named["promote"]["consumer"]["workers"] >= 1
    assert "every event" in installed.tidegate("functions").out


def test_functions_works_without_servers() -> None:
    """The graph is in the code: it is drawn, and the missing lag is explained on standard error."""
    answer = tidegate("functions", "--json", variables={"TIDEGATE_NATS_URL": "nats://127.0.0.1:9"})
    assert answer.code == 0
    assert answer.json["lag_known"] is False
    assert "TIDEGATE_NATS_URL" in answer.err
    drawn = tidegate("functions", "--mermaid").out
    assert drawn.startswith("flowchart LR\n")
    assert "identify -- identified --> scan" in drawn


def test_loose_ends_are_found() -> None:
    """An output nobody takes and an input nobody emits are named; whoever takes every event doesn't count."""
    registry = Registry()

    @function(on=Identified, into=registry)
    async def look(_event: Identified, _context: object) -> Scanned: ...

    @function(on=Probed, into=registry)
    async def lift(_event: Probed, _context: object) -> None: ...

    found = {(each.function, each.event): each.problem for each in loose_ends(list(registry))}
    assert found == {
        ("look", "identified"): "is taken and nobody emits it",
        ("look", "scanned"): "is emitted and no function takes it",
        ("lift", "probed"): "is taken and nobody emits it",
    }
    assert loose_ends(list(load())) == []
    assert "look -- scanned --> out([subscribers])" in flowchart(registry)


def graph_of(*described: tuple[str, Any, Any, tuple[str, ...]]) -> Registry:
    """Functions by name, input, outputs and kinds."""
    registry = Registry()
    for name, taken, emitted, kinds in described:

        async def handler(_event: Any, _context: object) -> None: ...

        handler.__name__, handler.__annotations__["return"] = name, emitted
        function(on=taken, kinds=kinds, into=registry)(handler)
    return registry


def test_a_kind_that_nobody_takes_or_emits_is_found() -> None:
    """Two functions share an event by kind; the kinds that neither takes are named, and those that never come.

    What follows from a narrow function is as narrow: nobody misses the images of a function that takes videos.
    """
    narrow = graph_of(
        ("identify", Requested, Identified, ()),
        ("scan", Identified, Scanned, ("image", "video")),
        ("read", Identified, Scanned, ("document",)),
        ("probe", Scanned, Probed, ("document", "image", "video")),
        ("play", Probed, None, ("image", "audio")),
        ("mourn", Deleted, None, ("image",)),
    )
    found = [(each.function, each.event, each.problem) for each in loose_ends(list(narrow))]
    assert found == [
        ("identify", "identified", "is emitted for audio and no function takes it"),
        ("probe", "probed", "is emitted for document, video and no function takes it"),
        ("play", "probed", "is taken for audio and nobody emits it"),
        ("mourn", "deleted", "is taken for image and nobody emits it"),
    ]
    drawn = flowchart(narrow)
    assert 'identify -- "identified for document" --> read' in drawn
    assert 'identify -- "identified for image, video" --> scan' in drawn


def test_narrow_functions_that_share_all_kinds_leave_nothing_loose() -> None:
    """Each kind has somebody who takes it, and what each emits is taken for just that kind: no findings."""
    whole = graph_of(
        ("identify", Requested, Identified, ()),
        ("hear", Identified, Scanned, ("audio", "video")),
        ("read", Identified, Scanned, ("document", "image")),
        ("probe", Scanned, Probed, ()),
        ("lift", Probed, None, ("audio", "video", "document", "image")),
    )
    assert loose_ends(list(whole)) == []


def test_events_that_only_each_other_bring_about_never_come() -> None:
    """A circle that nothing leads into is found, though each of its inputs is somebody's output."""
    circle = graph_of(("there", Probed, Scanned, ()), ("back", Scanned, Probed, ()))
    assert {(each.function, each.problem) for each in loose_ends(list(circle))} == {
        ("there", "is taken and nobody emits it"),
        ("back", "is taken and nobody emits it"),
    }


def test_refusals_are_drawn() -> None:
    """What the runtime says for a function leads somewhere as well, dotted."""
    assert "scan -. rejected .-> discard" in flowchart(load())


def test_a_loose_end_is_exit_code_1(tmp_path: Path) -> None:
    """A stranger's function that leaves one is named by the command, in words, as JSON and with the drawing."""
    (tmp_path / "loose.py").write_text(
        "from events.registry import function\nfrom schemas.events import Deleted\n\n"
        "@function(on=Deleted, kinds=('image',))\nasync def mourn(event, ctx) -> None: ...\n"
    )
    info = tmp_path / "loose-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loose\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tidegate.functions]\nloose = loose\n")
    variables = {"PYTHONPATH": str(tmp_path), "TIDEGATE_NATS_URL": "nats://127.0.0.1:9"}
    problem = {"function": "mourn", "event": "deleted", "problem": "is taken for image and nobody emits it"}
    told = tidegate("functions", "--check", "--json", variables=variables)
    assert (told.code, told.json["findings"]) == (1, [problem])
    shown = tidegate("functions", "--check", variables=variables)
    assert (shown.code, "mourn: deleted is taken for image and nobody emits it" in shown.out) == (1, True)
    drawn = tidegate("functions", "--check", "--mermaid", variables=variables)
    assert drawn.code == 1
    assert drawn.out.startswith("flowchart LR\n")
    assert "mourn: deleted" in drawn.err
    assert tidegate("functions", "--json", variables=variables).code == 0


def test_the_graph_is_in_the_order_of_a_file_s_way() -> None:
    """Whoever reads it top to bottom reads the story."""
    names = [each.name for each in in_order(load())]
    way = ["receive", "identify", "scan", "probe", "promote", "finish", "record"]
    assert [name for name in names if name in way] == way


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nats", "nats-server"),
        ("minio", "minio server"),
        ("mongo", "mongod"),
        ("clamd", "clamd"),
        ("gateway", "-m gateway"),
    ],
)
def test_health_names_a_frozen_server(installed: Installed, name: str, words: str) -> None:
    """Whatever does not answer is named, with exit code 3; thawed, all is well again."""
    with frozen(pid_of(installed.data, words)):
        answer = installed.tidegate("health", "--json")
        assert answer.code == 3
        assert answer.json["down"] == [name]
    eventually(lambda: installed.tidegate("health").code == 0)


def test_up_is_healthy(installed: Installed) -> None:
    """A fresh installation has nothing wrong with it."""
    answer = eventually(lambda: (found := installed.tidegate("health", "--json")).code == 0 and found)
    assert (answer.json["down"], answer.json["problems"]) == ([], [])
