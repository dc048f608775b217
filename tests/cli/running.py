"""The `tidegate` command as a person runs it: a process, its exit code, and what it says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.process import freeze

COMMAND = (str(Path(sys.executable).with_name("tidegate")),)
SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON value that it is."""
        return json.loads(self.out)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without any `TIDEGATE_*` but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    return kept | variables


def tidegate(*arguments: str | Path, cwd: Path | None = None, variables: Mapping[str, str] | None = None) -> Answer:
    """Run one command to its end."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=cwd,
        env=environment(**(variables or {})),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def up(data: Path, *arguments: str, **variables: str) -> Generator[subprocess.Popen[str]]:
    """A stack in a process of its own, ready; stopped in the end, by force if need be."""
    with (data.parent / "up.err").open("w+") as said:
        process = subprocess.Popen(
            [*COMMAND, "up", "--data", str(data), "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=environment(**variables),
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            said.seek(0)
            assert line, said.read()
            assert json.loads(line)["ready"] is True
            yield process
        finally:
            stop(process)
            process.stdout.close()


def stop(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> int:
    """End a process gently and return its exit code."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    return process.returncode


def processes_of(data: Path) -> dict[int, str]:
    """Living processes that name a directory in their command line or environment, by process id."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if os.fsencode(data) in command + (entry / "environ").read_bytes():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def pid_of(data: Path, words: str) -> int:
    """A process of a stack, by words of its command line, as soon as there is one."""
    return eventually(lambda: next((pid for pid, line in processes_of(data).items() if words in line), 0))


@contextmanager
def frozen(pid: int) -> Generator[None]:
    """SIGSTOP a process while the block lasts."""
    freeze(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Poll until the condition holds, and return what it said."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)
    return found
