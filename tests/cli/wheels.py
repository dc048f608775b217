"""Environments of their own: Tidegate as a wheel, beside distributions of others."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.binaries import cache_dir
from tests.cli.running import SECONDS, Answer, environment, stop

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment."""

    home: Path

    @classmethod
    def make(cls, home: Path, *requirements: str | Path) -> "Environment":
        """One with this interpreter, and these installed one after another."""
        uv("venv", "--python", sys.executable, home)
        for requirement in requirements:
            uv("pip", "install", "--python", home / "bin" / "python", "-c", ROOT / "requirements.lock", requirement)
        return cls(home)

    def uninstall(self, name: str) -> None:
        """Take a distribution away, with all files it lists."""
        uv("pip", "uninstall", "--python", self.home / "bin" / "python", name)

    def tidegate(self, *arguments: str | Path, **variables: str) -> Answer:
        """Run one command to its end."""
        done = subprocess.run(
            [self.home / "bin" / "tidegate", *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=environment(**variables),
            cwd=self.home,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(self, *arguments: str, **variables: str) -> Generator["subprocess.Popen[str]"]:
        """A command that runs until it is told to stop, and then ends well."""
        with subprocess.Popen(
            [self.home / "bin" / "tidegate", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(**variables),
            cwd=self.home,
        ) as process:
            try:
                yield process
            finally:
                code = stop(process)
            assert code == 0


def line_of(process: "subprocess.Popen[str]") -> str:
    """The next line that a command says."""
    assert process.stdout is not None
    return process.stdout.readline()


def wheel(source: Path, into: Path) -> Path:
    """Build a project's wheel."""
    uv("build", "--wheel", "--out-dir", into, source)
    return next(into.glob("*.whl"))


def uv(*arguments: str | Path) -> None:
    """Run the uv that sets up a checkout: on PATH, or where `make setup` puts it."""
    program = shutil.which("uv") or cache_dir() / "uv" / "bin" / "uv"
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=300, env=kept)
    assert done.returncode == 0, done.stderr
