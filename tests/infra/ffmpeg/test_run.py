"""What runs in a sandbox of its own gets nowhere, takes what it may, and ends with all that it started.

The programs here are the system's own, in FFmpeg's place: what a file could make of FFprobe if it took it over.
"""

import asyncio
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from infra.decoder import DecodeRejected, DecoderUnavailable, SandboxUnavailable, unnamed_file
from infra.decoder.spool import NAMED, named, remove_names
from infra.ffmpeg import Ffmpeg, Killed, Limits, Ran, probe_recording
from infra.ffmpeg.confined import INPUT
from infra.ffmpeg.run import HEAD_BYTES, TAIL_BYTES, Ends
from infra.settings import MIB, Settings
from schemas.probe_av import AudioProbe
from tests.samples import av

Make = Callable[[bytes], Path]

LIMITS = Limits(memory_bytes=1024 * MIB, cpu_seconds=10, wall_seconds=30)
SCANTY = Limits(memory_bytes=400 * MIB, cpu_seconds=10, wall_seconds=30)
EATER = ["if=/input", "bs=1G"]
FOREVER = ["-v", "error", "-f", "lavfi", "-i", "sine=duration=1000000", "-show_packets"]


@pytest.fixture
def work(file_of: Make) -> Path:
    """An input that nobody cares about."""
    return file_of(b"the input")


def _running(word: str) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if word.encode() in words and state != "Z":
                found.append(int(path.name))
    return found


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.01)


async def test_it_sees_its_input_and_little_else(ffmpeg: Ffmpeg, work: Path) -> None:
    """The input can be read; the root holds libraries alone."""
    assert (await ffmpeg.run("cat", [INPUT], work, LIMITS)).said == ["the input"]
    listed = await ffmpeg.run("ls", ["/", "/etc"], work, LIMITS)
    assert set(listed.said) <= {"/:", "/etc:", "", "alternatives", "etc", "input", "lib", "lib64", "usr"}


async def test_nothing_gets_out(ffmpeg: Ffmpeg, work: Path, tmp_path: Path) -> None:
    """No other file, no process's memory, no writing, no network, no other program."""
    (tmp_path / "secret").write_text("canary")
    for path in (str(tmp_path / "secret"), "/etc/passwd", "/proc/self/environ", "/dev/zero"):
        ran = await ffmpeg.run("cat", [path], work, LIMITS)
        assert (ran.good, ran.said) == (False, [])
        assert "No such file" in ran.complained
    for path in (INPUT, "/new", "/usr/lib/new"):
        ran = await ffmpeg.run("dd", ["if=/input", f"of={path}"], work, LIMITS)
        assert not ran.good
        assert "Read-only file system" in ran.complained or "Permission denied" in ran.complained
    assert await ffmpeg.run("cat", [INPUT], work, LIMITS) == Ran(good=True, said=["the input"], complained="")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert not (await ffmpeg.run("ffprobe", ["-i", url], work, LIMITS)).good
        with pytest.raises(TimeoutError):
            listener.accept()
    with pytest.raises(DecoderUnavailable, match="'/usr/bin/ls': No such file"):
        await ffmpeg.run("env", ["/usr/bin/ls"], work, LIMITS)
    assert (await ffmpeg.run("env", [], work, LIMITS)).said == ["PWD=/"]


async def test_without_bubblewrap_the_filter_and_the_limits_still_hold(work: Path, tmp_path: Path) -> None:
    """`rlimits` is weaker, and still without network, processes or writing."""
    loose = Ffmpeg(Settings(sandbox="rlimits"))
    assert (await loose.run("cat", [INPUT], work, LIMITS)).said == ["the input"]
    written = await loose.run("dd", ["if=/etc/passwd", f"of={tmp_path / 'written'}"], work, LIMITS)
    assert not written.good
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        ran = await loose.run("ffprobe", ["-i", url], work, LIMITS)
        assert "Operation not permitted" in ran.complained
    assert not (await loose.run("sh", ["-c", "ls & wait"], work, LIMITS)).said


@pytest.mark.parametrize("sandbox", ["required", "rlimits"])
async def test_a_program_that_sleeps_is_ended(work: Path, sandbox: str) -> None:
    """At its time limit, with everything around it."""
    ffmpeg = Ffmpeg(Settings.model_validate({"sandbox": sandbox}))
    with pytest.raises(DecodeRejected) as rejected:
        await ffmpeg.run("sleep", ["86311"], work, Limits(1024 * MIB, 10, 0.5))
    assert rejected.value.code == "decode_timeout"
    await _until(lambda: not _running("86311"))


async def test_a_program_that_spins_is_ended(ffmpeg: Ffmpeg, work: Path) -> None:
    """At its limit of CPU time, though it writes without end meanwhile."""
    with pytest.raises(DecodeRejected) as rejected:
        await ffmpeg.run("ffprobe", FOREVER, work, Limits(1024 * MIB, 1, 60))
    assert rejected.value.code == "decode_timeout"


async def test_ffmpeg_that_is_told_its_time_is_over(ffmpeg: Ffmpeg, work: Path) -> None:
    """It hears the signal and ends itself, which is a limit's doing all the same."""
    endless = ["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=hd1080", "-f", "null", "-"]
    with pytest.raises(DecodeRejected) as rejected:
        await ffmpeg.run("ffmpeg", endless, work, Limits(memory_bytes=1024 * MIB, cpu_seconds=1, wall_seconds=60))
    assert rejected.value.code == "decode_timeout"


async def test_a_program_that_eats_memory_gets_none(ffmpeg: Ffmpeg, work: Path) -> None:
    """Beyond its limit there is nothing to have."""
    ran = await ffmpeg.run("dd", EATER, work, SCANTY)
    assert not ran.good
    assert "memory exhausted" in ran.complained


async def _ended_by(number: int, ffmpeg: Ffmpeg, work: Path) -> None:
    running = asyncio.create_task(ffmpeg.run("sleep", ["86312"], work, LIMITS))

    def sleeper() -> int:
        return next((pid for pid in _running("86312") if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"), 0)

    await _until(lambda: bool(sleeper()))
    os.kill(sleeper(), number)
    await running


async def test_a_crash_is_the_files(ffmpeg: Ffmpeg, work: Path) -> None:
    """A program that dies of a signal says something about its input."""
    with pytest.raises(DecodeRejected) as rejected:
        await _ended_by(signal.SIGSEGV, ffmpeg, work)
    assert rejected.value.code == "decode_crash"


async def test_a_program_that_was_killed_says_nothing_of_the_file(ffmpeg: Ffmpeg, work: Path) -> None:
    """What a machine without memory does to a program is tried again, and no verdict."""
    with pytest.raises(Killed, match="memory"):
        await _ended_by(signal.SIGKILL, ffmpeg, work)


async def test_neighbours_are_unharmed(file_of: Make) -> None:
    """While one sleeps and one eats, good files are probed beside them."""
    ffmpeg = Ffmpeg(Settings(decoder_processes=3))
    file = file_of(av.media("plain.mp3"))
    hostile = [
        asyncio.create_task(ffmpeg.run("sleep", ["86313"], file, Limits(1024 * MIB, 10, 1.0))),
        asyncio.create_task(ffmpeg.run("dd", EATER, file, SCANTY)),
    ]
    done = 0
    while not all(task.done() for task in hostile):
        assert isinstance(await probe_recording(ffmpeg, file, "audio/mpeg"), AudioProbe)
        done += 1
    await asyncio.gather(*hostile, return_exceptions=True)
    assert done > 1


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 5, 8, 13, 50])
async def test_a_cancelled_run_ends_its_program(ffmpeg: Ffmpeg, work: Path, milliseconds: int) -> None:
    """Whenever it is cancelled, while it starts as well: nothing that was begun is left, and its place is free."""
    running = [asyncio.create_task(ffmpeg.run("sleep", ["86314"], work, LIMITS)) for _ in range(2)]
    await _until(lambda: bool(_running("86314")))
    await asyncio.sleep(milliseconds / 1000)  # no event says how far bubblewrap is
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    await _until(lambda: not _running("86314"))
    assert (await ffmpeg.run("cat", [INPUT], work, LIMITS)).good


def test_names_are_taken_away(tmp_path: Path) -> None:
    """An input has a name while it is needed; what a killed process leaves is removed, a living one's stays."""
    mine, theirs = unnamed_file(tmp_path), unnamed_file(tmp_path)
    with named(mine) as path:
        assert path.exists()
        left = tmp_path / NAMED.replace("*", "left")
        os.link(f"/proc/self/fd/{theirs}", left, src_dir_fd=theirs, follow_symlinks=True)
        assert remove_names(tmp_path) == 1
        assert (path.exists(), left.exists()) == (True, False)
    assert not any(tmp_path.iterdir())
    os.close(mine)
    os.close(theirs)


async def test_no_descriptor_is_left_behind(ffmpeg: Ffmpeg) -> None:
    """After good runs and bad ones."""
    await ffmpeg.start()
    before = _open_files()
    for _ in range(3):
        await ffmpeg.run("cat", [INPUT], Path(__file__), LIMITS)
        with pytest.raises(DecodeRejected):
            await ffmpeg.run("sleep", ["86315"], Path(__file__), Limits(1024 * MIB, 10, 0.1))
    await _until(lambda: _open_files() <= before)


async def test_start_up_fails_where_it_cannot_be_confined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing and what to do: no FFprobe, no bubblewrap, a bubblewrap that may not."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DecoderUnavailable, match="ffprobe is not installed"):
        await Ffmpeg(Settings()).start()
    monkeypatch.undo()
    for program in ("ffprobe", "prlimit"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match=r"(?s)no bwrap on PATH.*TIDEGATE_SANDBOX=rlimits"):
        await Ffmpeg(Settings()).start()
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    with pytest.raises(SandboxUnavailable, match=r"(?s)No permissions to create.*TIDEGATE_SANDBOX=rlimits"):
        await Ffmpeg(Settings()).start()


def test_it_runs_in_uvloop(file_of: Make) -> None:
    """Workers run uvloop: good files and bad ones end there as they do in asyncio's own loop."""

    async def run() -> None:
        ffmpeg = Ffmpeg(Settings())
        await ffmpeg.start()
        file = file_of(av.media("plain.mp3"))
        assert (await probe_recording(ffmpeg, file, "audio/mpeg")).audio[0].codec == "mp3"
        with pytest.raises(DecodeRejected):
            await ffmpeg.run("sleep", ["86316"], file, Limits(1024 * MIB, 10, 0.2))

    uvloop.run(run())


def test_of_endless_output_both_ends_are_kept() -> None:
    """The first lines and the last ones, whole, and an empty one between them."""
    ends = Ends()
    for number in range(1_000_000):
        ends.take(b"line %d\n" % number)
    lines = ends.lines()
    gap = lines.index("")
    assert (lines[0], lines[-1]) == ("line 0", "line 999999")
    assert all(line.startswith("line ") for line in lines if line)
    assert sum(map(len, lines[:gap])) < HEAD_BYTES
    assert TAIL_BYTES / 2 < sum(map(len, lines[gap:])) < 2 * TAIL_BYTES
