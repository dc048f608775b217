"""The local stack: MinIO, NATS, MongoDB and ClamAV as children of this process, the same servers as anywhere else."""

import asyncio
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from infra.access import provision_access
from infra.local import clamd, minio, mongo, nats
from infra.local.binaries import find_binaries
from infra.local.process import Before, Process, Ready
from infra.local.signature_check import check_signatures
from infra.local.signatures import SYSTEM_DATABASES, install_signatures
from infra.local.state import Role, StackInfo, keep_ports, keep_secrets, stack_lock, write_private
from infra.local.together import together
from infra.settings import Settings

_UNIX_PATH_BYTES = 100  # the kernel's limit is 107, clamd needs some for itself

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StackOptions:
    """What of a stack may be chosen.

    Attributes:
        keep_alive: Whether a server that dies on its own is started again.
        sync_always: Whether NATS writes every message to disk before it acknowledges.
        system_signatures: Directory of ClamAV's databases; `None`: test signatures alone.
        bucket: The one bucket.
    """

    keep_alive: bool = True
    sync_always: bool = True
    system_signatures: Path | None = SYSTEM_DATABASES
    bucket: str = "tidegate"


class LocalStack:
    """The four servers, supervised. They live as long as the thread that started them, at most.

    Streams and the bucket are not made here: that is provisioning, the same for every installation.

    Args:
        data: Where data, logs, secrets and the sockets live; made if missing, for this user alone.
        signatures: The operator's own ClamAV signatures.
        options: What may be chosen.
    """

    minio: Process
    nats: Process
    mongo: Process
    clamd: Process
    info: StackInfo

    def __init__(self, data: Path, *, signatures: Path | None = None, options: StackOptions | None = None) -> None:
        self.data = data.absolute()
        self.options = options or StackOptions()
        self._own_signatures = signatures
        self._held = ExitStack()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start all servers and return when they answer.

        Raises:
            BinaryMissing: A server isn't installed.
            ProcessFailed: A server didn't start.
            SignaturesUnusable: The operator's signatures can't be used.
            StackRunning: Another stack runs from this directory.
        """
        binaries = find_binaries()
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held.enter_context(stack_lock(self.data))
        self._held.callback((self.data / "stack.json").unlink, missing_ok=True)
        try:
            (self.data / "stack.json").unlink(missing_ok=True)
            if self._own_signatures is not None:
                await check_signatures(self._own_signatures, binaries.clamd)
            loaded = install_signatures(
                self.data / "clamd" / "signatures", own=self._own_signatures, system=self.options.system_signatures
            )
            self.info = StackInfo(
                pid=os.getpid(),
                data=self.data,
                ports=keep_ports(self.data),
                clamd_socket=self._socket_dir() / "clamd.sock",
                bucket=self.options.bucket,
                signatures=loaded.description,
                signatures_label=loaded.label,
                real_signatures=loaded.real,
                secrets=keep_secrets(self.data),
                binaries=vars(binaries),
            )
            self._define()
            await together(self._start_notified(), self._start_mongo(), self.clamd.start())
            write_private(self.data / "stack.json", self.info.model_dump_json(indent=2))
        except BaseException:
            await self.stop()
            raise
        log.info("stack.ready", data=str(self.data), signatures=self.info.signatures)

    async def stop(self) -> None:
        """Stop all servers. MinIO goes before NATS, so that its last notifications have somewhere to go."""
        running = [getattr(self, name) for name in ("minio", "mongo", "clamd") if hasattr(self, name)]
        await asyncio.gather(*(process.stop() for process in running))
        if hasattr(self, "nats"):
            await self.nats.stop()
        self._held.close()

    def environment(self, role: Role = "operator") -> dict[str, str]:
        """The `TIDEGATE_*` variables of a role; see `StackInfo.environment`."""
        return self.info.environment(role)

    def settings(self, role: Role = "operator", **changes: Any) -> Settings:
        """The settings of a role; see `StackInfo.settings`."""
        return self.info.settings(role, **changes)

    async def _start_notified(self) -> None:
        await self.nats.start()
        await self.minio.start()
        users = {
            job: (job, self.info.secrets[f"minio_{job}"]) for job in ("signer", "functions", "gateway", "operator")
        }
        await asyncio.to_thread(provision_access, self.settings("root"), users)

    async def _start_mongo(self) -> None:
        await self.mongo.start()
        passwords = {user: self.info.secrets[f"mongo_{user}"] for user in ("root", *mongo.ROLES)}
        database = self.settings("operator").mongo_database
        await mongo.provision_users(self.info.ports["mongo"], passwords, database)

    def _define(self) -> None:
        """Write the servers' configurations and say how each is started."""
        info, ports, secret = self.info, self.info.ports, self.info.secrets
        store = {name: self.data / name for name in ("minio", "nats", "mongo", "clamd")}
        for path in (*store.values(), store["clamd"] / "tmp", self.data / "logs"):
            path.mkdir(exist_ok=True)
        nats.adopt(store["nats"])
        passwords = {user: secret[f"nats_{user}"] for user in nats.permissions()}
        write_private(
            store["nats"] / "nats.conf",
            nats.render(
                port=ports["nats"],
                store=store["nats"],
                passwords=passwords,
                sync_always=self.options.sync_always,
            ),
        )
        write_private(
            store["clamd"] / "clamd.conf",
            clamd.render(
                socket=info.clamd_socket,
                signatures=store["clamd"] / "signatures",
                temporary=store["clamd"] / "tmp",
            ),
        )
        self.nats = self._process(
            "nats",
            [info.binaries["nats"], "-c", store["nats"] / "nats.conf"],
            ready=lambda: nats.ready(ports["nats"], "operator", passwords["operator"]),
        )
        root = (secret["minio_root_name"], secret["minio_root"])
        self.minio = self._process(
            "minio",
            [info.binaries["minio"], "server", "--quiet", "--address", f"127.0.0.1:{ports['minio']}", store["minio"]],
            ready=lambda: minio.ready(ports["minio"], root),
            # One notification target that can't reach NATS at MinIO's start disables all.
            before=self.nats.wait_ready,
            variables=minio.environment(
                root=root,
                nats_port=ports["nats"],
                nats_login=("minio", passwords["minio"]),
                queue=self.data / "minio-queue",
            ),
        )
        self.mongo = self._process(
            "mongo",
            mongo.command(info.binaries["mongod"], port=ports["mongo"], store=store["mongo"]),
            ready=lambda: mongo.listening(ports["mongo"]),
        )

        async def clear_temporary() -> None:
            shutil.rmtree(store["clamd"] / "tmp", ignore_errors=True)  # what a killed clamd was scanning
            (store["clamd"] / "tmp").mkdir(exist_ok=True)

        self.clamd = self._process(
            "clamd",
            [info.binaries["clamd"], "--foreground", "--config-file", store["clamd"] / "clamd.conf"],
            ready=lambda: clamd.ready(info.clamd_socket),
            before=clear_temporary,
        )

    def _process(
        self,
        name: str,
        command: list[str | Path],
        *,
        ready: Ready,
        before: Before | None = None,
        variables: dict[str, str] | None = None,
    ) -> Process:
        # Not the whole environment: somebody's own MINIO_* variables would change the server.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "TZ") if name in os.environ}
        return Process(
            name,
            command,
            log_file=self.data / "logs" / f"{name}.log",
            ready=ready,
            before=before,
            environment={**environment, **(variables or {})},
            keep_alive=self.options.keep_alive,
        )

    def _socket_dir(self) -> Path:
        """The data directory, or a short one of our own where its path is too long for a Unix socket."""
        if len(os.fsencode(self.data / "clamd.sock")) < _UNIX_PATH_BYTES:
            return self.data
        short = Path(tempfile.mkdtemp(prefix="tidegate-"))
        self._held.callback(shutil.rmtree, short, ignore_errors=True)
        return short
