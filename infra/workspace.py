"""Private directories for programs that need files with names: gone when their work is, however that ended."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PREFIX, SUFFIX = "tidegate-", ".work"


@contextmanager
def workspace(directory: Path | None = None) -> Generator[Path]:
    """Make a directory that nobody else writes to, and remove it with all that is in it.

    Args:
        directory: Where; default: the system's directory for temporary files.

    Yields:
        Its path. What a killed process leaves behind `remove_workspaces` takes away.

    Raises:
        OSError: The place is missing or full.
    """
    while (made := _locked(Path(tempfile.mkdtemp(SUFFIX, PREFIX, directory)))) is None:
        pass
    path, lock = made
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked(path: Path) -> tuple[Path, int] | None:
    """A new directory, and a lock that says that its owner lives; None: somebody took it for a dead one's."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    fcntl.flock(lock, fcntl.LOCK_SH)
    if path.exists():
        return path, lock
    os.close(lock)
    return None


def remove_workspaces(directory: Path | None = None) -> int:
    """Remove the directories of processes that were killed, and say how many there were."""
    removed = 0
    for path in Path(directory or tempfile.gettempdir()).glob(f"{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(OSError):  # somebody else's, or just removed by its owner
            left = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
                removed += 1
            finally:
                os.close(left)
    return removed
