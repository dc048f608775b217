"""A local stack on an event loop of its own, for callers whose loops come and go, as those of tests do."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.local.process import Process
from infra.local.stack import LocalStack, StackOptions
from infra.local.state import Role, StackInfo
from infra.settings import Settings


class Server:
    """One server of a stack that runs on another thread's loop; see `Process`."""

    def __init__(self, process: Process, loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._loop = loop

    @property
    def name(self) -> str:
        """What logs and errors call it."""
        return self._process.name

    @property
    def pid(self) -> int:
        """Its process id; raises `ProcessFailed` when it isn't running."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists; a frozen one does."""
        return self._process.running

    async def start(self) -> None:
        """Start it after `stop` or `kill`, on the same port and data."""
        await self._there(self._process.start())

    async def stop(self) -> None:
        """End it gently and keep it down."""
        await self._there(self._process.stop())

    async def kill(self) -> None:
        """SIGKILL it and keep it down until `start` or `restart`."""
        await self._there(self._process.kill())

    async def restart(self) -> None:
        """Stop it if it runs, and start it on the same port and data."""
        await self._there(self._process.restart())

    async def wait_ready(self, seconds: float = 30.0) -> None:
        """Return once it answers."""
        await self._there(self._process.wait_ready(seconds))

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._process.freeze()

    def thaw(self) -> None:
        """SIGCONT: undo `freeze`."""
        self._process.thaw()

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


class ThreadedStack:
    """A `LocalStack` that lives on its own thread while the `with` block lasts; usable from any loop or none."""

    minio: Server
    nats: Server
    mongo: Server
    clamd: Server

    def __init__(self, data: Path, *, signatures: Path | None = None, options: StackOptions | None = None) -> None:
        self._stack = LocalStack(data, signatures=signatures, options=options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stack", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait_for(self._stack.start())
        except BaseException:
            self._close()
            raise
        for name in ("minio", "nats", "mongo", "clamd"):
            setattr(self, name, Server(getattr(self._stack, name), self._loop))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait_for(self._stack.stop())
        finally:
            self._close()

    @property
    def info(self) -> StackInfo:
        """Addresses, credentials and signatures."""
        return self._stack.info

    def environment(self, role: Role = "operator") -> dict[str, str]:
        """The `TIDEGATE_*` variables of a role; see `StackInfo.environment`."""
        return self.info.environment(role)

    def settings(self, role: Role = "operator", **changes: Any) -> Settings:
        """The settings of a role; see `StackInfo.settings`."""
        return self.info.settings(role, **changes)

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _close(self) -> None:
        self._wait_for(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
