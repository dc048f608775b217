import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

NAMED = "tidegate-*.spool"


def unnamed_file(directory: Path | None = None) -> int:
    """Open a file that has no name, for an object's bytes on their way into a decoder.

    Args:
        directory: Where its blocks live; default: the system's directory for temporary files.

    Returns:
        A descriptor for reading and writing, to be closed by the caller. The file is gone with its last descriptor,
        however the process ends. `DecoderPool.run` gives children a read-only view of it.

    Raises:
        OSError: The directory is missing or full, or its file system has no unnamed files.
    """
    where = directory or Path(tempfile.gettempdir())
    # Mode 0400 counts for descriptors opened later, by /proc/self/fd: they can't become writable.
    return os.open(where, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o400)


def write_all(file: int, chunk: bytes) -> None:
    """All of it: a file system that is nearly full takes a part, and refuses the rest only then."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(file, rest) :]


def read_only_view(file: int) -> int:
    """Open the file behind a descriptor once more, for reading, with an offset of its own."""
    return os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def named(file: int) -> Generator[Path]:
    """Give an unnamed file a name for as long as something needs one: bubblewrap mounts no file without.

    Once only: the kernel gives no name to a file that has lost one.

    Yields:
        Its path, beside where its blocks live. What a killed process leaves behind `remove_names` takes away.

    Raises:
        OSError: The directory is full or gone.
    """
    directory = Path(f"/proc/self/fd/{file}").readlink().parent
    path = directory / NAMED.replace("*", secrets.token_hex(8))
    fcntl.flock(file, fcntl.LOCK_SH)  # says that the name's owner lives
    # A directory's descriptor beside an absolute path changes nothing but that Python follows the link:
    # https://github.com/python/cpython/issues/81793.
    os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def remove_names(directory: Path | None = None) -> int:
    """Remove the named files of processes that were killed, and say how many there were."""
    removed = 0
    for path in Path(directory or tempfile.gettempdir()).glob(NAMED):
        with contextlib.suppress(OSError):  # somebody else's, or just removed by its owner
            left = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
            finally:
                os.close(left)
    return removed
