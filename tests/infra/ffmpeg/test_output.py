"""What may write writes into one directory, so much and no more, and says how far it is."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, Limits
from infra.ffmpeg.confined import INPUT, OUTPUT
from infra.settings import MIB, Settings
from infra.workspace import remove_workspaces, workspace

Make = Callable[[bytes], Path]

LIMITS = Limits(memory_bytes=2048 * MIB, cpu_seconds=20, wall_seconds=60, file_bytes=8 * MIB)
PATTERN = ["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=2"]


@pytest.fixture
def work(file_of: Make) -> Path:
    """An input that nobody cares about."""
    return file_of(b"the input")


@pytest.mark.parametrize("sandbox", ["required", "rlimits"])
async def test_it_writes_files_there(work: Path, tmp_path: Path, sandbox: str) -> None:
    """An encoder's output is in the directory; lines of progress come one by one."""
    ffmpeg, lines = Ffmpeg(Settings.model_validate({"sandbox": sandbox})), list[str]()

    async def note(line: str) -> None:
        lines.append(line)

    with workspace(tmp_path) as place:
        arguments = [*PATTERN, "-progress", "pipe:1", "-c:v", "libx264", f"{OUTPUT}/made.mp4"]
        ran = await ffmpeg.run("ffmpeg", arguments, work, LIMITS, output=place, on_line=note, background=True)
        assert ran.good, ran.complained
        assert (place / "made.mp4").read_bytes()[4:8] == b"ftyp"
    assert lines[-1] == "progress=end"
    assert "frame=20" in lines
    assert not place.exists()


async def test_it_reads_what_lies_there(ffmpeg: Ffmpeg, work: Path, tmp_path: Path) -> None:
    """Files that were put into the directory are further inputs."""
    with workspace(tmp_path) as place:
        (place / "second").write_text("the second")
        assert (await ffmpeg.run("cat", [INPUT, f"{OUTPUT}/second"], work, LIMITS, output=place)).said == [
            "the inputthe second"
        ]


async def test_it_writes_nowhere_else(ffmpeg: Ffmpeg, work: Path, tmp_path: Path) -> None:
    """Neither the input nor the root, nor anything beside the directory."""
    with workspace(tmp_path) as place:
        for path in (INPUT, "/new", f"{OUTPUT}/../new", "/usr/new"):
            ran = await ffmpeg.run("dd", ["if=/input", f"of={path}"], work, LIMITS, output=place)
            assert not ran.good
            assert "Read-only file system" in ran.complained
        assert list(place.iterdir()) == []
        ran = await ffmpeg.run("dd", ["if=/input", f"of={OUTPUT}/new"], work, LIMITS, output=place)
        assert (ran.good, (place / "new").read_bytes()) == (True, b"the input")


async def test_it_writes_no_more_than_it_may(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """A file beyond its limit ends the program."""
    large = file_of(bytes(9 * MIB))
    with workspace(tmp_path) as place, pytest.raises(DecodeRejected) as rejected:
        await ffmpeg.run("cp", [INPUT, f"{OUTPUT}/copy"], large, LIMITS, output=place)
    assert rejected.value.code == "bomb"


async def test_background_is_nice_and_takes_no_decoders_place(work: Path, tmp_path: Path) -> None:
    """It runs while every place is taken, at low priority."""
    ffmpeg = Ffmpeg(Settings(decoder_processes=1))
    async with ffmpeg._slots:  # pyright: ignore[reportPrivateUsage] -- all of them taken
        with workspace(tmp_path) as place:
            ran = await ffmpeg.run("nice", [], work, LIMITS, output=place, background=True)
    assert ran.said == ["10"]


def test_directories_of_killed_processes_are_removed(tmp_path: Path) -> None:
    """With what is in them; those of living processes are let be."""
    script = (
        "import os, pathlib, signal; from infra.workspace import workspace\n"
        f"with workspace(pathlib.Path({str(tmp_path)!r})) as place:\n"
        "    (place / 'left').write_text('left'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    with workspace(tmp_path) as mine:
        (left,) = [path for path in tmp_path.iterdir() if path != mine]
        assert (left / "left").exists()
        assert remove_workspaces(tmp_path) == 1
        assert list(tmp_path.iterdir()) == [mine]


def test_a_directory_that_is_just_made_is_nobodys_to_remove(tmp_path: Path) -> None:
    """Who starts beside others clears up after dead ones alone, whenever it looks."""
    ended = threading.Event()

    def clear() -> None:
        while not ended.is_set():
            remove_workspaces(tmp_path)

    clearing = threading.Thread(target=clear)
    clearing.start()
    try:
        for _ in range(500):
            with workspace(tmp_path) as place:
                (place / "file").write_text("mine")
    finally:
        ended.set()
        clearing.join()
    assert not any(tmp_path.iterdir())
