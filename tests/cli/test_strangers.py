"""A function of somebody else's: an installed package, run by the stock command; and packages that don't get along."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.state import Role
from tests.cli.conftest import Installed
from tests.cli.running import environment, stop

ROOT = Path(__file__).parents[2]
SECONDS = 300


def _uv() -> str:
    """The uv that sets up a checkout: on PATH, or where `make setup` puts it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return shutil.which("uv") or str(cache / "tidegate" / "uv" / "bin" / "uv")


def uv(*arguments: str | Path) -> None:
    """Run uv to its end."""
    done = subprocess.run([_uv(), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Tidegate's own wheel, and the example's."""
    made = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, ROOT / "tests" / "samples" / "thanks"):
        uv("build", "--quiet", "--wheel", "--out-dir", made, source)
    return sorted(made.glob("*.whl"))


def fresh(folder: Path, *requirements: str | Path) -> Path:
    """A new environment with these installed one after another; its `tidegate` command."""
    uv("venv", "--quiet", "--python", sys.executable, folder)
    for requirement in requirements:
        python = folder / "bin" / "python"
        uv("pip", "install", "--quiet", "--python", python, "-c", ROOT / "requirements.lock", requirement)
    return folder / "bin" / "tidegate"


def run(command: Path, *arguments: str, role: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of a fresh environment."""
    return subprocess.run(
        [str(command), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=environment(**(role or {})),
        cwd=command.parent,
    )


def _role(installed: Installed, role: Role) -> dict[str, str]:
    return installed.info.environment(role)


@contextmanager
def _working(command: Path, installed: Installed) -> Generator["subprocess.Popen[str]"]:
    """`tidegate run thanks` in its own environment, with a stack's functions' credentials."""
    process = subprocess.Popen(
        [str(command), "run", "thanks", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**_role(installed, "functions")),
        cwd=command.parent,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert '"ready": true' in process.stdout.readline()
        yield process
    finally:
        stop(process)
        process.stdout.close()
        process.stderr.close()


def test_a_stranger_s_function_runs_by_the_stock_command(
    installed: Installed, wheels: list[Path], tmp_path: Path
) -> None:
    """Installed beside Tidegate's wheel it is in the graph, gets its consumer, and works on the next file."""
    command = fresh(tmp_path / "env", *wheels)
    assert '"thanks"' in run(command, "functions", "--json", "--check").stdout
    provisioned = run(command, "provision", "--json", role=_role(installed, "operator"))
    assert '"consumer MEDIA.thanks"' in provisioned.stdout, provisioned.stderr
    try:
        with _working(command, installed) as process:
            assert process.stdout is not None
            file = tmp_path / "letter.txt"
            file.write_text("Dear stranger\n")
            assert installed.tidegate("upload", file, "--owner", "alice").code == 0
            assert process.stdout.readline() == "Thank you, alice: letter.txt is 14 bytes\n"
    finally:
        # Where the function isn't installed its consumer is nobody's.
        assert "consumer MEDIA.thanks" in installed.tidegate("provision", "--prune", "--json").out


@pytest.mark.parametrize("first", ["tidegate", "opensearch-py"])
def test_another_package_named_events_is_refused_by_name(wheels: list[Path], tmp_path: Path, first: str) -> None:
    """Whoever is installed first, opensearch-py's `events` and ours share a directory: start-up names the culprit."""
    ours = next(wheel for wheel in wheels if wheel.name.startswith("tidegate-0"))
    order = [ours, "opensearch-py"] if first == "tidegate" else ["opensearch-py", ours]
    refused = run(fresh(tmp_path / "env", *order), "functions")
    assert refused.returncode == 2
    assert "The package `events` is mixed with that of the distribution Events (" in refused.stderr
    assert "pip uninstall Events" in refused.stderr
    assert "Traceback" not in refused.stderr
