"""Functions of somebody else's: an installed package, run by the stock command; and packages that don't get along."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.vocabulary import events
from events.registry import FunctionsUnusable, Registry, function
from schemas.document import Fold
from schemas.events import MediaEvent, Ready
from tests.cli.conftest import Installed
from tests.cli.running import eventually
from tests.cli.wheels import ROOT, Environment, line_of, wheel

OPENSEARCH = "opensearch-py==3.2.0"
"""It requires the distribution Events, whose one package is `events`."""

NOWHERE = {"TIDEGATE_NATS_URL": "nats://127.0.0.1:9"}


@dataclass(frozen=True)
class Wheels:
    """What is installed."""

    tidegate: Path
    thanks: Path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """This tree and the example, built."""
    made = tmp_path_factory.mktemp("wheels")
    return Wheels(wheel(ROOT, made / "ours"), wheel(ROOT / "tests" / "samples" / "thanks", made / "theirs"))


@pytest.fixture(scope="module")
def elsewhere(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with Tidegate and the example."""
    return Environment.make(tmp_path_factory.mktemp("elsewhere") / "venv", wheels.tidegate, wheels.thanks)


def test_strangers_functions_run_by_the_stock_command(
    installed: Installed, elsewhere: Environment, tmp_path: Path
) -> None:
    """Provisioned and run from a fresh environment they work on the next file, and say events of their own.

    Such an event is stored, read by subscribers and replayed like any other; the file is as ready as it was. Where the
    functions aren't installed their consumers are nobody's, and can be pruned once nobody works on them.
    """
    operator, functions = installed.info.environment("operator"), installed.info.environment("functions")
    try:
        made = elsewhere.tidegate("provision", "--json", **operator).json["changes"]
        created = [change["what"] for change in made if change["action"] == "created"]
        assert created == ["consumer MEDIA.label", "consumer MEDIA.thanks"]
        with elsewhere.running("run", "thanks", "label", "--json", **functions) as process:
            assert json.loads(line_of(process)) == {"ready": True, "functions": ["thanks", "label"]}
            file = tmp_path / "letter.txt"
            file.write_text("Dear stranger\n")
            (sent,) = installed.tidegate("upload", file, "--owner", "alice", "--json").json["files"]
            assert line_of(process) == "Thank you, alice: letter.txt is 14 bytes\n"
            with elsewhere.running("tail", "--event", "labelled", "--since", "1", "--json", **operator) as tail:
                labelled = json.loads(line_of(tail))
                tail.send_signal(signal.SIGINT)
                tail.wait()
            assert (labelled["subject"], labelled["data"]["label"]) == (sent["media_id"], "document of alice")
            assert (labelled["type"], labelled["source"]) == ("tidegate.media.labelled.v1", "/functions/label")

            again = elsewhere.tidegate("replay", "--id", sent["media_id"], "--to", "label", "--json", **operator).json
            assert again["media"][0]["event"] == "ready"

            def told() -> list[str]:
                """The runs in which the file was labelled, by an operator who knows nothing of labels."""
                known = installed.tidegate("trace", sent["media_id"], "--json").json
                assert (known["state"], known["waits_for"]) == ("ready", [])
                return [event["run"] for event in known["events"] if event["type"] == labelled["type"]]

            eventually(lambda: told() == ["0", again["run"]])
            # Not installed here, and at work elsewhere.
            refused = installed.tidegate("provision", "--prune", "--json")
            assert (refused.code, refused.json["error"]["code"]) == (1, "problem")
            assert "Nothing was pruned: workers elsewhere ask for the events of label, thanks." in refused.err
            assert set(consumers_of_nobody(installed)) == {"consumer MEDIA.label", "consumer MEDIA.thanks"}
        assert installed.tidegate("upload", file).code == 0
        left = "extra, not part of this version, 1 message waiting; --prune deletes it"
        eventually(lambda: set(consumers_of_nobody(installed).values()) == {left})
    finally:
        pruned = consumers_of_nobody(installed, "--prune")
    assert pruned == {f"consumer MEDIA.{name}": "pruned, 1 message waiting" for name in ("label", "thanks")}
    assert consumers_of_nobody(installed) == {}


def consumers_of_nobody(installed: Installed, *options: str) -> dict[str, str]:
    """What provisioning says of consumers whose functions are not installed here, by name."""
    answer = installed.tidegate("provision", "--json", *options)
    assert answer.code == 0, answer
    return {
        change["what"]: f"{change['action']}, {change['detail']}"
        for change in answer.json["changes"]
        if change["action"] in {"extra", "pruned"}
    }


def test_their_graph_is_whole(elsewhere: Environment) -> None:
    """An event that is meant for subscribers says so: no loose ends; it is drawn beside Tidegate's own."""
    answer = elsewhere.tidegate("functions", "--check", "--json", **NOWHERE)
    assert (answer.code, answer.json["findings"]) == (0, [])
    known = {each["name"]: (each["takes"], each["emits"]) for each in answer.json["functions"]}
    assert (known["thanks"], known["label"]) == ((["ready"], []), (["ready"], ["labelled"]))
    drawn = elsewhere.tidegate("functions", "--mermaid").out
    assert "finish -- ready --> label" in drawn
    assert "label -- labelled --> out([subscribers])" in drawn


@pytest.mark.parametrize("first", ["tidegate", "opensearch-py"])
def test_beside_opensearch_they_are_refused_in_any_order(wheels: Wheels, tmp_path: Path, first: str) -> None:
    """opensearch-py's `events` and ours share a directory: start-up names the culprit, and who brought it along.

    Its removal takes a module of ours along; that is told, too.
    """
    order = [wheels.tidegate, OPENSEARCH] if first == "tidegate" else [OPENSEARCH, wheels.tidegate]
    mixed = Environment.make(tmp_path / "venv", *order)
    refused = mixed.tidegate("run", "thanks", "--json")
    assert refused.code == 2
    assert "The package `events` in" in refused.err
    assert "mixed with that of the distribution Events (required by opensearch-py)" in refused.err
    assert "pip uninstall Events" in refused.err
    assert refused.json["error"] == {"code": "usage", "message": refused.err.strip()}

    mixed.uninstall("Events")
    torn = mixed.tidegate("functions")
    assert torn.code == 2
    assert "The package `events` is incomplete" in torn.err
    assert "--force-reinstall" in torn.err


def test_functions_that_break_are_named(elsewhere: Environment, tmp_path: Path) -> None:
    """Whose package can't be imported is said in a sentence, by every command that needs the functions."""
    (tmp_path / "breaking.py").write_text("import no_such_module\n")
    info = tmp_path / "breaking-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: breaking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tidegate.functions]\nbreaking = breaking\n")
    for command in (("functions",), ("run", "thanks"), ("provision",)):
        answer = elsewhere.tidegate(*command, PYTHONPATH=str(tmp_path), **NOWHERE)
        assert answer.code == 2
        assert "'breaking' of breaking can't be loaded" in answer.err
        assert "No module named 'no_such_module'" in answer.err


def test_a_stranger_s_fields_are_its_own() -> None:
    """A stranger's event may call anything a verdict: what a media is said to be comes from Tidegate's events."""
    scanned = {"id": "1", "type": "tidegate.media.scanned.v1", "time": "1", "run": "0", "part": "scan"}
    graded = {"id": "2", "type": "tidegate.media.graded.v1", "time": "2", "run": "0", "part": "grade"}
    fold = Fold.of("one", [{**scanned, "data": {"verdict": {}}}, {**graded, "data": {"verdict": "A+"}}])
    assert fold.known() == {"verdict": {}}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (type("Ready", (MediaEvent,), {"__module__": "graders"}), r"grade has an event ready \(graders\), and so has"),
        (int, r"grade has int \(builtins\) among its events, which is none: derive it from schemas\.events"),
    ],
    ids=["a name that is taken", "no event"],
)
def test_events_that_can_t_be_told_apart_are_refused(model: type, sentence: str) -> None:
    """A name that Tidegate or somebody else uses, or a model that is no event, is named before anything runs."""
    registry = Registry()

    async def grade(_event: Ready, _context: object) -> None: ...

    grade.__annotations__["return"] = model
    function(on=Ready, into=registry)(grade)
    with pytest.raises(FunctionsUnusable, match=sentence):
        events(registry)
