"""Files that FFmpeg wrote in its sandbox: a stranger's file may have told it what to write."""

import stat
from pathlib import Path

from infra.decoder import DecodeRejected


def written(directory: Path, name: str) -> Path | None:
    """A file of the directory for output, if it is there and has anything in it.

    Raises:
        DecodeRejected: `decode_crash`: it is no file, but a link, say, to what is outside of the sandbox.
    """
    path = directory / name
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise DecodeRejected("decode_crash", "it made something that is no file")
    return path if found.st_size else None
