"""One supervised child process: started, found ready, restarted when it dies, stopped, and never left behind."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.01
_STOPPING_SECONDS = 10.0
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 10.0
_HEALTHY_SECONDS = 30.0  # a child that lived this long starts its backoff anew
_LOG_BYTES = 16 * 1024 * 1024  # a log this large is set aside at the next start
_LOG_TAIL_BYTES = 2000

log = structlog.get_logger(__name__)

Ready = Callable[[], Awaitable[bool]]
Before = Callable[[], Awaitable[None]]


class ProcessFailed(Exception):
    """A child ended, or did not get ready in time; the message ends with the tail of its log."""


def freeze(pid: int) -> None:
    """SIGSTOP a process, and return once every thread of it has stopped: a busy machine takes its time.

    Raises:
        ProcessFailed: It goes on for ten seconds.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _STOPPING_SECONDS
    while any(state(task) not in "TtZX" for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > deadline:
            raise ProcessFailed(f"process {pid} did not stop")
        time.sleep(_POLL_SECONDS / 10)


def state(task: Path) -> str:
    """The state of a process or thread by its directory in /proc, as proc(5) has it; `X` once it is gone."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


async def always_ready() -> bool:
    """Answer for children that need no readiness check."""
    return True


class Process:
    """A child process in a session of its own, whose output goes to a log file.

    In its own session it doesn't see the terminal's Ctrl-C: the supervisor decides who stops, and in which order.
    The kernel kills it when the thread that called `start` ends, so call it from a thread that lives as long.

    Args:
        name: What logs and errors call it.
        command: Program (an absolute path) and arguments.
        log_file: Where standard output and error are appended.
        ready: Says whether it serves; asked every 10 ms, an `OSError` means not yet.
        before: Awaited before every start, restarts included: prepares files, waits for what it depends on.
        environment: Its whole environment. Default: this process's.
        keep_alive: Whether it is started again, with backoff, when it ends on its own.
        ready_seconds: How long it may take to get ready.
        stop_seconds: How long it may take to end after SIGTERM, before SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_file: Path,
        ready: Ready = always_ready,
        before: Before | None = None,
        environment: Mapping[str, str] | None = None,
        keep_alive: bool = True,
        ready_seconds: float = 30.0,
        stop_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log_file = log_file
        self.keep_alive = keep_alive
        self._ready = ready
        self._before = before
        self._environment = environment
        self._ready_seconds = ready_seconds
        self._stop_seconds = stop_seconds
        self._child: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The child's process id.

        Raises:
            ProcessFailed: It isn't running.
        """
        if not self.running:
            raise ProcessFailed(f"{self.name} is not running")
        assert self._child is not None
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the child exists; a frozen one does."""
        return self._child is not None and self._child.returncode is None

    async def start(self) -> None:
        """Start the child and return once it is ready.

        Raises:
            ProcessFailed: It ended or wasn't ready in time; it was stopped.
        """
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.name}")

    async def stop(self) -> None:
        """End the child: SIGTERM, then SIGKILL after `stop_seconds`; a frozen child is thawed first."""
        await self._unwatch()
        await self._end()

    async def kill(self) -> None:
        """SIGKILL the child and keep it down until `start` or `restart`."""
        await self._unwatch()
        self._signal(signal.SIGKILL)
        if self._child is not None:
            await self._child.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        freeze(self.pid)

    def thaw(self) -> None:
        """SIGCONT: undo `freeze`."""
        self._signal(signal.SIGCONT)

    async def restart(self) -> None:
        """Stop the child if it runs, then start it as it was, on the same ports and data."""
        await self.stop()
        await self.start()

    async def wait_ready(self, seconds: float = 30.0) -> None:
        """Return once the child answers, e.g. after `thaw` or while its supervisor restarts it.

        Raises:
            ProcessFailed: It doesn't within this time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.running and await self._is_ready(deadline):
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise ProcessFailed(f"{self.name} was not ready after {seconds:g} s{self._log_tail()}")

    async def _spawn(self) -> None:
        if self._before is not None:
            await self._before()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        begun = time.monotonic()
        with self.log_file.open("ab") as output:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *self.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        try:
            await self._until_ready(self._child)
        except BaseException:
            await self._end()
            raise
        log.debug("process.ready", process=self.name, pid=self._child.pid, seconds=round(time.monotonic() - begun, 3))

    async def _until_ready(self, child: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + self._ready_seconds
        while not await self._is_ready(deadline):
            if child.returncode is not None:
                raise ProcessFailed(f"{self.name} ended with {child.returncode} at its start{self._log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} was not ready after {self._ready_seconds:g} s{self._log_tail()}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _is_ready(self, deadline: float) -> bool:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
                return await self._ready()
        return False

    async def _watch(self) -> None:
        """Start the child again whenever it ends on its own."""
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            assert self._child is not None
            begun = time.monotonic()
            code = await self._child.wait()
            if not self.keep_alive:
                log.warning("process.died", process=self.name, code=code, log=str(self.log_file))
                return
            if time.monotonic() - begun > _HEALTHY_SECONDS:
                backoff = _FIRST_BACKOFF_SECONDS
            log.warning("process.died", process=self.name, code=code, restart_in=backoff, log=str(self.log_file))
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            try:
                await self._spawn()
            except (ProcessFailed, OSError) as error:
                log.warning("process.restart_failed", process=self.name, error=str(error))
            else:
                log.info("process.restarted", process=self.name, pid=self._child.pid)

    async def _unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None

    async def _end(self) -> None:
        if self._child is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(self._stop_seconds):
                await self._child.wait()
        except TimeoutError:
            log.warning("process.killed", process=self.name, after=self._stop_seconds)
        finally:
            self._signal(signal.SIGKILL)
        await self._child.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.returncode is None:
            # asyncio's own send_signal polls first, and so takes the exit status away from its watcher:
            # https://github.com/python/cpython/issues/87744
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)

    def _log_tail(self) -> str:
        try:
            with self.log_file.open("rb") as lines:
                lines.seek(max(0, self.log_file.stat().st_size - _LOG_TAIL_BYTES))
                tail = lines.read().decode(errors="replace").strip()
        except OSError:
            tail = ""
        return f"; the end of {self.log_file}:\n{tail}" if tail else ""
