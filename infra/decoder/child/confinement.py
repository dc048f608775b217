import os
import socket
from pathlib import Path
from typing import Any


def confinement(_file: int, args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Try to get out, so that the parent knows.

    Args:
        args: `port`: where the parent listens on the loopback.

    Returns:
        `network`: whether the parent could be reached; `writable`: whether a file could be made; `roots`: the
        names in the root directory.
    """
    return {
        "network": _reaches(args["port"]),
        "writable": _writes(),
        "roots": sorted(path.name for path in Path("/").iterdir()),
    }


def _reaches(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _writes() -> bool:
    path = Path(f"/tidegate-{os.getpid()}")
    try:
        path.touch()
    except OSError:
        return False
    path.unlink()
    return True
