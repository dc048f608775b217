import os
import tempfile
from pathlib import Path


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


def read_only_view(file: int) -> int:
    """Open the file behind a descriptor once more, for reading, with an offset of its own."""
    return os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)
