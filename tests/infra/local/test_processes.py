"""Supervision: nothing is left behind, what dies is restarted, and errors say what to do."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.local.binaries import BinaryMissing, find_binaries, nats_version
from infra.local.process import Process, ProcessFailed

SUPERVISOR = """
import asyncio, json, signal, sys
from pathlib import Path
from infra.local.stack import LocalStack, StackOptions

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with LocalStack(Path(sys.argv[1]), options=StackOptions(system_signatures=None)) as stack:
        print(json.dumps([server.pid for server in (stack.minio, stack.nats, stack.mongo, stack.clamd)]), flush=True)
        await stop.wait()

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def all_gone(pids: list[int], seconds: float = 10) -> bool:
    """Whether all these processes end within this time."""
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


@asynccontextmanager
async def supervisor(data: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, list[int]]]:
    """A stack run by a process of its own, and its servers' process ids."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, str(data)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = b""
        while not line.startswith(b"["):
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, "the supervisor ended before its stack was up"
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_sigterm_stops_everything(tmp_path: Path) -> None:
    """A supervisor that is asked to stop ends its servers first, and then itself, without an error."""
    async with supervisor(tmp_path / "data") as (process, pids):
        assert all(alive(pid) for pid in pids)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert not any(alive(pid) for pid in pids)


async def test_sigkill_leaves_nothing_behind(tmp_path: Path) -> None:
    """A supervisor without a chance to stop anything still takes its servers along; the same data starts again."""
    async with supervisor(tmp_path / "data") as (process, pids):
        process.kill()
        await process.wait()
        assert await all_gone(pids)
    async with supervisor(tmp_path / "data") as (_, again):
        assert all(alive(pid) for pid in again)


async def test_sigkill_takes_a_frozen_server_along(tmp_path: Path) -> None:
    """A stopped process can't refuse SIGKILL, and the kernel sends it."""
    async with supervisor(tmp_path / "data") as (process, pids):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        await process.wait()
        assert await all_gone(pids)


def child(tmp_path: Path, code: str, **options: float) -> Process:
    """A child that runs this Python code and is ready when the file `ready` exists."""

    async def ready() -> bool:
        return (tmp_path / "ready").exists()

    return Process(
        "child",
        [sys.executable, "-c", f"import pathlib, signal, sys, time\nhere = pathlib.Path({str(tmp_path)!r})\n{code}"],
        log_file=tmp_path / "child.log",
        ready=ready,
        ready_seconds=options.get("ready_seconds", 10),
        stop_seconds=options.get("stop_seconds", 10),
    )


async def test_a_child_that_ends_at_its_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    """The error carries the tail of the log, so nobody has to look for it."""
    process = child(tmp_path, "sys.exit('the port is taken')")
    with pytest.raises(ProcessFailed, match=r"child ended with 1 .*\n.*the port is taken"):
        await process.start()
    assert not process.running


async def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    """Readiness has a deadline, and a failed start leaves no process."""
    process = child(tmp_path, "time.sleep(60)", ready_seconds=0.3)
    with pytest.raises(ProcessFailed, match="not ready after"):
        await process.start()
    assert not process.running


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After `stop_seconds` SIGTERM is followed by SIGKILL."""
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); (here / 'ready').touch(); time.sleep(60)"
    process = child(tmp_path, deaf, stop_seconds=0.2)
    await process.start()
    await process.stop()
    assert not process.running


async def test_a_frozen_child_stops_gently(tmp_path: Path) -> None:
    """It is thawed for its SIGTERM, so that it may finish what it does."""
    polite = "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()))"
    process = child(tmp_path, f"{polite}; (here / 'ready').touch(); time.sleep(60)")
    await process.start()
    process.freeze()
    await process.stop()
    assert process.log_file.read_text() == "bye\n"


async def test_a_cancelled_start_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C while a server starts stops that server too."""
    process = child(tmp_path, "(here / 'begun').touch(); time.sleep(60)")
    starting = asyncio.create_task(process.start())
    deadline = time.monotonic() + 10
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    pid = process.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not alive(pid)


async def test_a_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    """The terminal's Ctrl-C reaches the supervisor alone."""
    process = child(tmp_path, "(here / 'ready').touch(); time.sleep(60)")
    await process.start()
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    await process.stop()


def test_a_missing_server_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error says what is missing and what to run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(BinaryMissing, match=r"minio was not found: run `make setup`.*; nats-server was not found"):
        find_binaries()


def test_what_is_on_path_goes_first_unless_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An own nats-server is used from 2.11 on; an older one is passed over."""
    own = tmp_path / "nats-server"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for version, used in (("2.11.0", True), ("2.10.29", False)):
        own.write_text(f"#!/bin/sh\necho 'nats-server: v{version}'\n")
        own.chmod(0o755)
        assert nats_version(own) == (2, int(version.split(".")[1]))
        assert (find_binaries().nats == own) == used
