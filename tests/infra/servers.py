"""Real MinIO and clamd for the adapters' tests: free loopback ports, fresh stores, ended by SIGKILL."""

import asyncio
import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin
from minio.versioningconfig import VersioningConfig

from infra.local.clamd import options
from infra.local.process import freeze
from infra.objects import Objects

READY_SECONDS = 30.0
REGION = "us-east-1"
BUCKET = "tidegate"
ROOT = ("tests-root", "tests-root-secret")
# The EICAR test file, in two halves, so that scanners leave this repository alone.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" + rb"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@dataclass
class Server:
    """One child process that can be frozen, thawed and killed."""

    process: subprocess.Popen[bytes]
    log: Path

    def freeze(self) -> None:
        """Stop it in place: it keeps its sockets and answers nothing."""
        freeze(self.process.pid)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


@dataclass
class MinioServer(Server):
    """A MinIO with the one bucket, versioned under temp/ alone."""

    url: str = ""
    admin: Minio = field(init=False)

    def objects(self, access_key: str = ROOT[0], secret_key: str = ROOT[1], timeout: float = 10.0) -> Objects:
        """A client of the bucket; the root user's unless told otherwise."""
        return Objects(
            url=self.url,
            region=REGION,
            access_key=access_key,
            secret_key=secret_key,
            bucket=BUCKET,
            timeout=timeout,
        )

    def make_bucket(self) -> None:
        """Make the bucket as the stack does."""
        self.admin.make_bucket(BUCKET)
        excluded = ["permanent/*", "records/*", "work/*", "quarantine/*"]
        self.admin.set_bucket_versioning(BUCKET, VersioningConfig(ENABLED, excluded_prefixes=excluded))

    def add_user(self, name: str, secret: str, policy: Path) -> None:
        """Add a user who may do what a policy file says, and nothing else."""
        host = self.url.removeprefix("http://")
        admin = MinioAdmin(endpoint=host, credentials=StaticProvider(*ROOT), region=REGION, secure=False)
        admin.user_add(name, secret)
        admin.policy_add(f"{name}-policy", policy)  # pyright: ignore[reportUnknownMemberType] - the SDK's PathLike
        admin.attach_policy([f"{name}-policy"], user=name)


@dataclass
class ClamdServer(Server):
    """A clamd on a Unix socket with a few made-up signatures."""

    path: Path = Path()
    signatures: Path = Path()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def binary(name: str, fallback: Path) -> str:
    """Where a server's program is: on PATH, or where the project keeps it."""
    found = shutil.which(name) or (str(fallback) if fallback.exists() else None)
    if found is None:
        raise RuntimeError(f"these tests need {name}: `make demo` or `make test` installs it")
    return found


@contextmanager
def minio_server() -> Generator[MinioServer]:
    """Run a MinIO with the bucket for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="tidegate-minio-") as directory:
        port, log = free_port(), Path(directory, "log")
        program = binary("minio", Path("~/.cache/tidegate/bin/minio").expanduser())
        command = [program, "server", f"{directory}/data", "--quiet"]
        command += ["--address", f"127.0.0.1:{port}", "--console-address", "127.0.0.1:0"]
        environ = {**os.environ, "MINIO_ROOT_USER": ROOT[0], "MINIO_ROOT_PASSWORD": ROOT[1], "MINIO_BROWSER": "off"}
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
        server = MinioServer(process, log, url=f"http://127.0.0.1:{port}")
        # Starting up, MinIO answers 503 with a Retry-After of a minute, which urllib3 would wait for.
        pool = urllib3.PoolManager(timeout=10, retries=False)
        server.admin = Minio(f"127.0.0.1:{port}", *ROOT, secure=False, region=REGION, http_client=pool)
        try:
            _until_connected(server, ("127.0.0.1", port))
            _until_serving(server)
            server.make_bucket()
            yield server
        finally:
            server.kill()


@contextmanager
def clamd_server(
    *, database: dict[str, bytes] | None = None, changes: Mapping[str, str] = {}
) -> Generator[ClamdServer]:
    """Run a clamd as the stack does for as long as the context lasts.

    Args:
        database: Signature files by name, instead of the built-in EICAR signature.
        changes: Options of clamd's that differ, such as bounds low enough to be met.
    """
    with tempfile.TemporaryDirectory(prefix="tidegate-clamd-") as directory:
        root, log = Path(directory), Path(directory, "log")
        (root / "db").mkdir()
        (root / "tmp").mkdir()
        for name, content in (database or eicar_database()).items():
            (root / "db" / name).write_bytes(content)
        told = options(root / "clamd.sock", root / "db", root / "tmp") | dict(changes)
        config = root / "clamd.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in told.items()))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary("clamd", Path("/usr/sbin/clamd")), "-c", str(config)], stdout=output, stderr=output
            )
        server = ClamdServer(process, log, path=root / "clamd.sock", signatures=root / "db")
        try:
            _until_connected(server, str(server.path))
            yield server
        finally:
            server.kill()


def eicar_database() -> dict[str, bytes]:
    """Signatures that find the EICAR test file, by its bytes and by its hash."""
    digest = hashlib.md5(EICAR, usedforsecurity=False).hexdigest()
    return {
        "tests.ndb": b"Eicar-Test-Signature:0:*:" + EICAR[:40].hex().encode() + b"\n",
        "tests.hdb": f"{digest}:{len(EICAR)}:Eicar-Test-Hash\n".encode(),
    }


def daily_database(version: int, made: datetime | None = None, more: bytes = b"") -> bytes:
    """An unsigned daily database (.cud) as `sigtool` writes it: a 512-byte header, a tar, its contents listed first.

    Args:
        version: Its number, which clamd says to VERSION.
        made: Its date, which clamd says as well; none: now.
        more: Signatures beside EICAR's, as lines of an .ndb file.
    """
    made = made or datetime.now(UTC)
    signatures = eicar_database()["tests.ndb"] + more
    date = made.strftime("%d %b %Y %H-%M +0000")
    header = f"ClamAV-VDB:{date}:{version}:1:90:{'0' * 32}:x:tests:{int(made.timestamp())}"
    info = f"{header}\ndaily.ndb:{len(signatures)}:{hashlib.sha256(signatures).hexdigest()}\n".encode()
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in (("daily.info", info), ("daily.ndb", signatures)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return header.ljust(512).encode() + output.getvalue()


async def reload(clamd: Path) -> None:
    """Have the clamd at this socket load its signatures again."""
    reader, writer = await asyncio.open_unix_connection(clamd)
    writer.write(b"zRELOAD\0")
    assert await reader.read() == b"RELOADING\0"
    writer.close()
    await writer.wait_closed()


def _until_connected(server: Server, address: str | tuple[str, int]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    while True:
        with socket.socket(family) as probe:
            if probe.connect_ex(address) == 0:
                return
        _check(server, deadline)


def _until_serving(server: MinioServer) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            server.admin.list_buckets()
        except Exception:  # noqa: BLE001 - anything but an answer means not yet
            _check(server, deadline)
        else:
            return


def _check(server: Server, deadline: float) -> None:
    """Give up on a server that ended or took too long; else breathe before the next look."""
    if server.process.poll() is not None or time.monotonic() > deadline:
        raise RuntimeError(f"server didn't start:\n{server.log.read_text(errors='replace')}")
    time.sleep(0.02)
