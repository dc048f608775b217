"""What holds for every command: exit codes, sentences instead of tracebacks, JSON alone on standard output."""

from pathlib import Path

import pytest

from cli.failures import CommandFailed, explain
from cli.packages import shadowed
from infra.errors import DependencyDown
from tests.cli.conftest import Installed
from tests.cli.running import tidegate

ASKING = [
    ("provision",),
    ("trace", "019a3c1e-0000-7000-8000-000000000000"),
    ("tail",),
    ("health",),
    ("dead", "ls"),
    ("dead", "retry", "--all"),
    ("replay", "--rebuild"),
    ("env",),
    ("token", "--owner", "alice"),
]

MINIO = {"TIDEGATE_MINIO_ACCESS_KEY": "x", "TIDEGATE_MINIO_SECRET_KEY": "y"}


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_without_an_installation_a_command_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Exit code 3 and how to start one, as a sentence and as JSON."""
    answer = tidegate(*command, "--json", cwd=tmp_path)
    assert answer.code == 3
    assert answer.json["error"]["code"] == "dependency_down"
    assert answer.json["error"]["message"] in answer.err
    assert "tidegate up" in answer.err
    assert tidegate(*command, cwd=tmp_path).out == ""


@pytest.mark.parametrize("command", [("trace", "x"), ("dead", "ls"), ("provision",), ("tail",)], ids=" ".join)
def test_nats_that_is_away_is_named(command: tuple[str, ...]) -> None:
    """Exit code 3, which server, and which variable says where it is."""
    answer = tidegate(*command, "--json", variables={"TIDEGATE_NATS_URL": "nats://u:p@127.0.0.1:9", **MINIO})
    assert (answer.code, answer.json["error"]["code"]) == (3, "dependency_down")
    assert "TIDEGATE_NATS_URL" in answer.err
    assert "u:p" not in answer.err + answer.out


def test_a_setting_that_can_t_be_is_a_usage_error() -> None:
    """It is named, and its value is not repeated: it may be a secret."""
    answer = tidegate("health", variables={"TIDEGATE_ATTEMPTS": "secretive"})
    assert answer.code == 2
    assert "TIDEGATE_ATTEMPTS" in answer.err
    assert "secretive" not in answer.err


def test_settings_that_contradict_each_other_are_a_usage_error() -> None:
    """An upload may not come after its request is forgotten; the sentence names the settings."""
    answer = tidegate("health", variables={"TIDEGATE_MEDIA_RETENTION_SECONDS": "4500"})
    assert answer.code == 2
    assert "TIDEGATE_UPLOAD_EXPIRES_SECONDS + TIDEGATE_ABANDONED_AFTER_SECONDS (4500 s)" in answer.err
    assert "TIDEGATE_: " not in answer.err


@pytest.mark.parametrize(
    "command",
    [("levitate",), ("health", "--loud"), ("trace",), ("trace", "a.*"), ("replay", "--id", "x"), ("bench", "x")],
    ids=" ".join,
)
def test_a_usage_error_is_json_too(command: tuple[str, ...]) -> None:
    """With --json its sentence is also on standard output, where a program looks; the exit code is the same."""
    answer = tidegate(*command, "--json", variables={"TIDEGATE_NATS_URL": "nats://127.0.0.1:9"})
    assert answer.code == 2
    assert answer.json["error"]["code"] == "usage"
    assert answer.json["error"]["message"].split()[0] in answer.err
    assert tidegate(*command, variables={"TIDEGATE_NATS_URL": "nats://127.0.0.1:9"}).out == ""


def test_functions_says_what_the_runtime_emits_for_them() -> None:
    """A refusal and a failure are no outputs of a handler, and follow all the same; nothing is known of its lag."""
    answer = tidegate("functions", "--json", variables={"TIDEGATE_NATS_URL": "nats://127.0.0.1:9"})
    assert answer.code == 0
    assert answer.json["reachable"] is False
    also = {each["name"]: each["also_emits"] for each in answer.json["functions"]}
    assert [also[name] for name in ("identify", "scan", "probe")] == [["rejected", "failed"]] * 3
    assert [also[name] for name in ("record", "finish", "discard", "sweep", "receive")] == [[]] * 5
    assert "+ rejected, failed" in tidegate("functions").out


def test_an_unknown_command_is_a_usage_error() -> None:
    """So are unknown options and functions."""
    assert tidegate("levitate").code == 2
    assert tidegate("health", "--loud").code == 2
    answer = tidegate("run", "levitate", variables={"TIDEGATE_NATS_URL": "nats://127.0.0.1:9"})
    assert answer.code == 2
    assert "identify" in answer.err


def test_every_command_says_what_it_does() -> None:
    """`tidegate --help` lists them all."""
    said = tidegate("--help").out
    for name in "up run provision upload trace tail replay dead functions health env token bench".split():  # noqa: SIM905  a list to read
        assert f" {name} " in said
    assert "3 a dependency is down" in said


def test_the_stack_of_the_current_directory_is_found(installed: Installed, tmp_path: Path) -> None:
    """Without variables and options ./.tidegate is used, and the person is told on standard error."""
    (tmp_path / ".tidegate").symlink_to(installed.data)
    answer = tidegate("dead", "ls", "--json", cwd=tmp_path)
    assert answer.json == {"dead_letters": []}
    assert ".tidegate" in answer.err


def test_a_shadowed_package_is_refused_with_the_distribution_s_name(tmp_path: Path) -> None:
    """The distribution `Events` provides a module `events`: start-up names it and what to do."""
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "__init__.py").write_text("")
    info = tmp_path / "Events-0.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Events\nVersion: 0.5\n")
    (info / "top_level.txt").write_text("events\n")
    (info / "RECORD").write_text("events/__init__.py,,\n")
    answer = tidegate("health", variables={"PYTHONPATH": str(tmp_path)})
    assert answer.code == 2
    assert "distribution Events" in answer.err
    assert "pip uninstall Events" in answer.err


def test_our_own_packages_are_ours() -> None:
    """Installed as they are, nothing is shadowed; a package that isn't there is named."""
    assert shadowed() == []
    assert "`no_such_package` is missing" in shadowed(("no_such_package",))[0]


def test_expected_failures_are_explained_and_defects_are_not() -> None:
    """A server that is down is a sentence and exit code 3, inside a group as well; a bug keeps its traceback."""
    down = DependencyDown("clamd", "no answer")
    assert explain(down) is not None
    assert explain(ExceptionGroup("two", [ValueError(), down])) == explain(down)
    assert explain(CommandFailed(1, "So it is.")) == (1, "So it is.")
    assert explain(KeyError("a bug")) is None
