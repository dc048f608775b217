"""What a local stack leaves in its data directory: secrets that last, and the addresses of the running one."""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from infra.settings import Settings

Role = Literal["functions", "gateway", "operator", "subscriber", "root"]
"""Whose credentials: `root` is MinIO's administrator, for provisioning alone."""

ROLES: tuple[Role, ...] = get_args(Role)

_SECRET_NAMES = (
    # MinIO's administrator has no name that can be guessed: a known one is enough for CVE-2026-41145, and no policy
    # binds an administrator.
    *("minio_root_name", "minio_root", "minio_signer", "minio_functions", "minio_gateway", "minio_operator"),
    *("nats_operator", "nats_minio", "nats_functions", "nats_gateway", "nats_subscriber"),
    *("mongo_root", "mongo_functions", "mongo_gateway", "mongo_operator"),
    "jwt",
)
_PORT_NAMES = ("minio", "nats", "mongo", "gateway")


class StackNotRunning(Exception):
    """No stack runs from this data directory; the message says how to start one."""


class StackRunning(Exception):
    """Another process runs a stack from this data directory."""


class StackInfo(BaseModel):
    """A running stack as other processes see it.

    Attributes:
        pid: The supervisor's process id.
        data: The data directory, absolute.
        ports: Loopback ports of `minio`, `nats`, `mongo` and `gateway`.
        clamd_socket: clamd's Unix socket.
        bucket: The one bucket.
        signatures: Which signatures clamd has, for people.
        signatures_label: The same for verdicts; empty when clamd's own version says it.
        real_signatures: Whether ClamAV's databases are loaded.
        secrets: Passwords by what they open.
        binaries: Paths of the servers' programs, by name.
    """

    pid: int
    data: Path
    ports: dict[str, int]
    clamd_socket: Path
    bucket: str
    signatures: str
    signatures_label: str
    real_signatures: bool
    secrets: dict[str, str]
    binaries: dict[str, Path]

    def environment(self, role: Role = "operator") -> dict[str, str]:
        """The `TIDEGATE_*` variables that give a process this role's credentials and nobody else's."""
        variables = {
            "TIDEGATE_GATEWAY_URL": f"http://127.0.0.1:{self.ports['gateway']}",
            "TIDEGATE_NATS_URL": self._nats_url("operator" if role == "root" else role),
            "TIDEGATE_BUCKET": self.bucket,
        }
        if role == "subscriber":
            return variables
        minio = f"http://127.0.0.1:{self.ports['minio']}"
        variables |= {
            "TIDEGATE_MINIO_URL": minio,
            "TIDEGATE_MINIO_ACCESS_KEY": self.secrets["minio_root_name"] if role == "root" else role,
            "TIDEGATE_MINIO_SECRET_KEY": self.secrets[f"minio_{role}"],
            "TIDEGATE_MONGO_URL": self._mongo_url("operator" if role == "root" else role),
            "TIDEGATE_CLAMD_SOCKET": str(self.clamd_socket),
            "TIDEGATE_SIGNATURES_LABEL": self.signatures_label,
        }
        if role == "gateway":
            variables |= {
                "TIDEGATE_SIGNER_ACCESS_KEY": "signer",
                "TIDEGATE_SIGNER_SECRET_KEY": self.secrets["minio_signer"],
                "TIDEGATE_GATEWAY_PORT": str(self.ports["gateway"]),
            }
        if role in ("gateway", "operator"):
            variables["TIDEGATE_JWT_SECRET"] = self.secrets["jwt"]
        return variables

    def settings(self, role: Role = "operator", **changes: Any) -> Settings:
        """The same as settings; `changes` are fields that differ."""
        values: dict[str, Any] = {
            name.removeprefix("TIDEGATE_").lower(): value for name, value in self.environment(role).items()
        }
        return Settings(**{**values, **changes})

    def _nats_url(self, user: str) -> str:
        return f"nats://{user}:{self.secrets[f'nats_{user}']}@127.0.0.1:{self.ports['nats']}"

    def _mongo_url(self, user: str) -> str:
        password = self.secrets[f"mongo_{user}"]
        return f"mongodb://{user}:{password}@127.0.0.1:{self.ports['mongo']}/?authSource=admin&directConnection=true"


def load_stack(data: Path) -> StackInfo:
    """Read what a running stack says of itself.

    Raises:
        StackNotRunning: None runs from this directory, or it is still starting.
    """
    remedy = f"no stack is running from {data}: start one with `tidegate up --data {data}`"
    try:
        with stack_lock(data, create=False):
            raise StackNotRunning(remedy)
    except FileNotFoundError:
        raise StackNotRunning(remedy) from None
    except StackRunning:
        pass
    try:
        return StackInfo.model_validate_json((data / "stack.json").read_bytes())
    except FileNotFoundError:
        raise StackNotRunning(f"the stack of {data} is still starting: try again in a moment") from None


@contextmanager
def stack_lock(data: Path, *, create: bool = True) -> Generator[None]:
    """Hold the data directory; the kernel gives it back whatever becomes of the holder.

    Raises:
        StackRunning: Another process holds it.
        FileNotFoundError: There is no such directory or lock, and `create` is false.
    """
    descriptor = os.open(data / "lock", os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackRunning(
                f"another stack is already running from {data}: use it, stop it, or choose another --data"
            ) from None
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def keep_secrets(data: Path) -> dict[str, str]:
    """The data directory's passwords, generated once."""
    path = data / "secrets.json"
    known: dict[str, str] = _read(path)
    if missing := [name for name in _SECRET_NAMES if name not in known]:
        known |= {name: secrets.token_urlsafe(24 if name != "jwt" else 48) for name in missing}
        write_private(path, json.dumps(known, indent=2))
    return known


def keep_ports(data: Path) -> dict[str, int]:
    """Free loopback ports: those of the last time where they are still free."""
    path = data / "ports.json"
    last: dict[str, int] = _read(path)
    ports: dict[str, int] = {}
    held: list[socket.socket] = []
    try:
        for name in _PORT_NAMES:
            held.append(_bind(last.get(name, 0)))
            ports[name] = held[-1].getsockname()[1]
    finally:
        for one in held:
            one.close()
    write_private(path, json.dumps(ports))
    return ports


def _bind(port: int) -> socket.socket:
    """Bind this port, or a free one if it is taken, as servers do: a connection that lingers is no obstacle."""
    for candidate in (port, 0):
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            bound.bind(("127.0.0.1", candidate))
            return bound
        bound.close()
    raise StackNotRunning("no free port on 127.0.0.1")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
