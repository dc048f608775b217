import asyncio
import contextlib
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from pydantic import JsonValue, ValidationError

from infra.decoder import sandbox, wire
from infra.decoder.errors import DecodeRejected, DecoderUnavailable, SandboxUnavailable
from infra.decoder.output import Output
from infra.decoder.places import Places
from infra.decoder.process import Child, ChildLost
from infra.decoder.spool import read_only_view
from infra.settings import Settings

HELLO_SECONDS = 30.0
JOBS_PER_CHILD = 1000  # bounds leaks, and how long a child that was taken over could lie; costs 0.1 ms a job

# What makes something of a file that was let in, and waits for those that say whether one is.
_RENDERING = frozenset({"render", "describe", "cover", "waveform", "page"})

log = structlog.get_logger()


@dataclass(slots=True)
class _Place:
    """Where one child lives; empty while it is being replaced."""

    child: Child | None = None


class DecoderPool:
    """Warm decoder children, each in its sandbox, one job at a time.

    A child that hangs, crashes, exceeds its memory or talks nonsense is killed with all it started and replaced; jobs
    in other children don't notice. Start and use it in the thread whose event loop lives as long as the process.
    """

    def __init__(self, settings: Settings, *, extra_jobs: Path | None = None) -> None:
        """Nothing is started yet.

        Args:
            settings: Number of children, their limits, whether they are sandboxed.
            extra_jobs: A Python file with a `JOBS` table of more jobs, for tests of the confinement itself.
        """
        self._settings = settings
        self._extra_jobs = extra_jobs
        self._command = partial(sandbox.command, settings, extra_jobs=extra_jobs)
        self._places: Places[_Place] = Places()
        self._children: set[Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def settings(self) -> Settings:
        """The limits that jobs keep to."""
        return self._settings

    @property
    def timeout(self) -> float:
        """Seconds a try may take unless the call says otherwise."""
        return self._settings.decoder_timeout_seconds

    @property
    def pids(self) -> list[int]:
        """The decoder processes there are now, as the parent sees them."""
        return [child.pid for child in self._children]

    @property
    def idle(self) -> int:
        """How many decoders are ready for a job."""
        return len(self._places)

    async def start(self) -> None:
        """Start one child and let it try to get out; the others follow in the background.

        Raises:
            SandboxUnavailable: Children can't be confined here; the message says what to do.
            DecoderUnavailable: Children can't be started here.
        """
        first = _Place()
        try:
            first.child = await self._start_child()
            if self._settings.sandbox == "required":
                await _require_confinement(first.child, sandbox.roots(self._extra_jobs))
        except DecoderUnavailable as error:
            await self.aclose()
            if self._settings.sandbox == "rlimits" or isinstance(error, SandboxUnavailable):
                raise
            raise SandboxUnavailable(sandbox.REMEDY.format(why=error)) from error
        self._give_back(first)
        for _ in range(self._settings.decoder_processes - 1):
            self._give_back(_Place())

    async def run(
        self,
        job: str,
        file: int | None = None,
        args: dict[str, JsonValue] | None = None,
        *,
        inline: bytes = b"",
        output: Output | None = None,
        timeout: float | None = None,
    ) -> dict[str, JsonValue]:
        """Do a job in the next child that is idle, in order of arrival.

        A job that kills its child or isn't done in time gets one more try in a fresh one, so that a child's history is
        not blamed on the file. Cancelled, it takes its child with it.

        Args:
            job: The job's name: see `child/jobs.py`.
            file: Descriptor of the file, if the job reads one. The child gets its own, read-only one.
            args: The job's arguments.
            inline: Bytes for a job that needs few: together with `args` they fit into 64 KiB.
            output: Takes the files that the job makes: where in it they are the answer says.
            timeout: Seconds a try may take; default: `settings.decoder_timeout_seconds`.

        Returns:
            What the job returned: JSON of a stranger's making, to be validated by the caller.

        Raises:
            DecodeRejected: The file cannot be accepted.
            DecoderUnavailable: No child could be started, or the pool is closed; says nothing about the file.
        """
        names = [*(["file"] if file is not None else []), *(["output"] if output else [])]
        request = wire.request(job, args or {}, inline, names)
        seconds = self.timeout if timeout is None else timeout
        with contextlib.ExitStack() as stack:
            views = _views(file, stack)
            place = await self._places.take(quick=job not in _RENDERING)
            stack.callback(self._give_back, place)
            try:
                said = await self._try(place, request, [*views, *_files(output)], seconds)
            except ChildLost as lost:
                if self._closed:
                    raise DecoderUnavailable("the decoders were closed") from lost
                log.warning("decoder.lost", job=job, code=lost.code, detail=lost.detail, again=True)
                if output:
                    output.renew()
                # Where the lost child has read to counts for the view that it had, whoever reads it next.
                said = await self._last_try(place, request, [*_views(file, stack), *_files(output)], seconds)
        if said.rejected:
            raise DecodeRejected(said.rejected.code, said.rejected.reason)
        assert said.ok is not None
        return said.ok

    async def aclose(self) -> None:
        """Kill every child. Whoever still waits for one gets `DecoderUnavailable`."""
        self._closed = True
        self._give_back(_Place())
        for child in list(self._children):
            self._discard(child)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _last_try(self, place: _Place, request: bytes, files: list[int], seconds: float) -> wire.Answer:
        try:
            return await self._try(place, request, files, seconds)
        except ChildLost as lost:
            log.warning("decoder.lost", code=lost.code, detail=lost.detail, again=False)
            raise DecodeRejected(lost.code, f"twice, the second time in a fresh decoder: {lost.detail}") from lost

    async def _try(self, place: _Place, request: bytes, files: list[int], seconds: float) -> wire.Answer:
        child, place.child = place.child, None  # whatever interrupts the job costs the child its place
        if child is None or child.lost:
            if child is not None:
                self._discard(child)
            child = await self._start_child()
        try:
            said = await child.ask(request, files, seconds)
            if said.failed:
                raise ChildLost("decode_memory" if said.failed.memory else "decode_crash", said.failed.detail)  # noqa: TRY301 -- one way to lose a child
        except BaseException:
            self._discard(child)
            raise
        if child.answers < JOBS_PER_CHILD:
            place.child = child
        else:
            self._discard(child)
        return said

    async def _start_child(self) -> Child:
        if self._closed:
            raise DecoderUnavailable("the decoders are closed")
        try:
            child = Child.start(self._command)
        except OSError as error:
            raise DecoderUnavailable(f"a decoder could not be started: {error}") from error
        self._children.add(child)
        try:
            await child.hello(HELLO_SECONDS)
        except ChildLost as lost:
            self._discard(child)
            raise DecoderUnavailable(f"a decoder could not be started: {lost.detail}") from lost
        except BaseException:
            self._discard(child)
            raise
        return child

    def _give_back(self, place: _Place) -> None:
        if place.child or self._closed:
            self._places.give(place)
        else:
            self._spawn(self._refill(place))

    async def _refill(self, place: _Place) -> None:
        try:
            place.child = await self._start_child()
        except DecoderUnavailable as error:
            # The place stays empty: the next job tries to start a child itself and tells its caller.
            if not self._closed:
                log.warning("decoder.unavailable", error=str(error))
        finally:
            self._places.give(place)

    def _discard(self, child: Child) -> None:
        if child in self._children:
            self._children.remove(child)
            self._spawn(child.discard())

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _views(file: int | None, stack: contextlib.ExitStack) -> list[int]:
    if file is None:
        return []
    view = read_only_view(file)
    stack.callback(os.close, view)
    return [view]


def _files(output: Output | None) -> list[int]:
    return [output.file] if output else []


async def _require_confinement(child: Child, roots: set[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        request = wire.request("confinement", {"port": listener.getsockname()[1]}, b"")
        try:
            said = await child.ask(request, [], HELLO_SECONDS)
            found = wire.Confinement.model_validate(said.ok)
        except (ChildLost, ValidationError) as error:
            raise DecoderUnavailable(f"the sandbox could not be checked: {error}") from error
    escapes = [
        *(["reaches the network"] if found.network else []),
        *(["can write"] if found.writable else []),
        *(f"sees /{name}" for name in sorted(set(found.roots) - roots)),
    ]
    if escapes:
        raise DecoderUnavailable(f"the sandboxed child {', '.join(escapes)}")
