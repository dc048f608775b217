"""Everything on one machine: the local stack, what is provisioned on it, all functions and the gateway."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cli.connect import configuration
from infra.decoder import DecoderPool
from infra.local.process import Process
from infra.local.stack import LocalStack, StackOptions
from infra.local.state import ROLES, Role, StackInfo
from infra.local.together import together
from infra.settings import Settings

Progress = Callable[[str], None]


class Installation:
    """A stack with functions and gateway as supervised children; use it as a context manager.

    Args:
        data: The stack's data directory.
        signatures: The operator's own ClamAV signatures.
        options: What of the stack may be chosen.
        progress: Told what is being started.
        told: Variables for functions and gateway, beside this process's own.
    """

    functions: Process
    gateway: Process

    def __init__(
        self,
        data: Path,
        *,
        signatures: Path | None = None,
        options: StackOptions | None = None,
        progress: Progress = lambda _: None,
        told: Mapping[str, str] | None = None,
    ) -> None:
        self.stack = LocalStack(data, signatures=signatures, options=options)
        self._progress = progress
        self._told = dict(told or {})

    @property
    def info(self) -> StackInfo:
        """Addresses, credentials and signatures."""
        return self.stack.info

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and return when uploads are taken; on failure nothing is left running.

        Raises:
            BinaryMissing: A server isn't installed.
            DecoderUnavailable: Decoders can't be sandboxed here, or can't start.
            ProcessFailed: A server, the functions or the gateway didn't start.
            StackRunning: Another stack runs from this directory.
            BusError: Streams could not be made.
        """
        self._progress("a decoder, to see that it is confined")
        await _decodable()
        self._progress("MinIO, NATS, MongoDB and ClamAV")
        # On failure it has stopped by itself; to stop it again could disturb another one in the same directory.
        await self.stack.start()
        try:
            self._progress("streams, bucket, functions and gateway")
            self._define()
            # Functions wait for their consumers, and the gateway for its stream: Python starts meanwhile.
            await together(self._provision(), self.functions.start(), self.gateway.start())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything: first who takes uploads and works on them, so that what is under way is finished."""
        # A start that was interrupted may still be asking a server that is going away.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        children = [getattr(self, name) for name in ("gateway", "functions") if hasattr(self, name)]
        await asyncio.gather(*(child.stop() for child in children))
        await self.stack.stop()

    async def _provision(self) -> None:
        # Imported while the servers start: together with what it needs it takes a while.
        from cli.provision import make  # noqa: PLC0415

        await make(self.stack.settings("operator"))

    def _define(self) -> None:
        ready = self.stack.data / "functions.ready"
        settings = self.stack.settings("functions")

        async def forget() -> None:
            ready.unlink(missing_ok=True)

        async def bound() -> bool:
            return ready.exists()

        async def serving() -> bool:
            return await answers(self.info.ports["gateway"], "/readyz")

        self.functions = self._child(
            "functions",
            ["cli", "run", "--ready-file", str(ready)],
            before=forget,
            ready=bound,
            stop_seconds=settings.grace_seconds + 5,
        )
        self.gateway = self._child("gateway", ["gateway"], ready=serving)

    def _child(self, role: Role, module: list[str], **options: Any) -> Process:
        return Process(
            role,
            # -P: a folder of the same name in the current directory is nobody's business.
            [sys.executable, "-P", "-m", *module],
            log_file=self.stack.data / "logs" / f"{role}.log",
            environment=_environment(self.info, role) | self._told,
            **options,
        )


def _environment(info: StackInfo, role: Role) -> dict[str, str]:
    """A role's variables, what this process was told beside (limits, retention, log level), and no other secrets."""
    given_by_stack = {name for each in ROLES for name in info.environment(each)}
    names = {f"TIDEGATE_{field}".upper() for field in Settings.model_fields} - given_by_stack
    names |= {"PATH", "HOME", "TMPDIR", "TZ", "LANG"}
    # A profile's field is a variable of its own: TIDEGATE_IMAGES__SIZES.
    told = {name: value for name, value in sorted(os.environ.items()) if name.partition("__")[0] in names}
    return told | info.environment(role)


async def _decodable() -> None:
    """Start one decoder and end it: where the functions couldn't work, no server needs to start.

    Raises:
        DecoderUnavailable: It can't be; the message says what to do.
    """
    pool = DecoderPool(configuration().model_copy(update={"decoder_processes": 1}))
    try:
        await pool.start()
    finally:
        await pool.aclose()


async def answers(port: int, path: str) -> bool:
    """Whether a GET on the loopback interface is answered 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    finally:
        writer.close()
