"""Functions at work, one process each, that die by SIGKILL at named points and are started again.

`python -m tests.faults.victim DIRECTORY FUNCTION…`. The directory holds what the test says and what happened:

- `targets.json`: a list of points; a process kills itself the first time it reaches one.
- `poison.json`: media ids (and slots of ticks) by function; the function raises on each.
- `died`: a line for every point at which a process died.
- `running`: made when every function was started once.

Modules are imported once: each process is a fork of this one, so a death costs little.
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.worker import work
from events import failpoints
from events.registry import Function, Tick, load, registry
from infra import logs
from infra.settings import Settings
from schemas.notification import Notification

_PR_SET_PDEATHSIG = 1


class Poisoned(Exception):
    """The test wants the function to fail on this one."""


def main(directory: Path, names: Sequence[str]) -> int:
    """Run each function in a child; start again what was killed; on SIGTERM drain them all."""
    load()
    stopping = False
    children: dict[int, str] = {}

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for name in names:
        children[_fork(directory, name)] = name
    (directory / "running").touch()
    worst = 0
    while children:
        pid, status = os.wait()
        name = children.pop(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and not stopping:
            children[_fork(directory, name)] = name
        else:
            worst = max(worst, abs(os.waitstatus_to_exitcode(status)))
    return worst


def _fork(directory: Path, name: str) -> int:
    supervisor = os.getpid()
    if pid := os.fork():
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == supervisor:
            code = _run(directory, name)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _run(directory: Path, name: str) -> int:
    settings = Settings()
    logs.configure(settings)
    targets = set(json.loads((directory / "targets.json").read_text()))
    failpoints.install(lambda point: _reached(directory, point, targets))
    registry.functions[name] = _poisonable(registry.functions[name], directory)
    return asyncio.run(work(settings, [name]))


def _reached(directory: Path, point: str, targets: set[str]) -> None:
    if point not in targets:
        return
    died = directory / "died"
    if died.exists() and point in died.read_text().split():
        return
    with died.open("a") as lines:
        lines.write(f"{point}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def _poisonable(function: Function, directory: Path) -> Function:
    handler = function.handler

    def check(argument: Any) -> None:
        poison = set(json.loads((directory / "poison.json").read_text()).get(function.name, []))
        if found := poison & set(_about(argument)):
            raise Poisoned(f"{function.name} was told to fail on {found}")

    async def one(argument: Any, context: Any) -> Any:
        check(argument)
        return await handler(argument, context)

    async def many(argument: Any, context: Any) -> AsyncGenerator[Any]:
        check(argument)
        async for output in handler(argument, context):
            yield output

    return replace(function, handler=many if function.streams else one)


def _about(argument: Any) -> list[str]:
    match argument:
        case list():
            return [event["subject"] for event in argument]  # pyright: ignore[reportUnknownVariableType]  CloudEvents
        case Tick():
            return [str(argument.slot)]
        case Notification():
            return [argument.key.rpartition("/")[2]]
        case _:
            return [argument.media.media_id]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
