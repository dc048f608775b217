import array
import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Self

from infra.decoder import wire

LostCode = Literal["decode_timeout", "decode_memory", "decode_crash"]

STARVED_ROUNDS = 3
_CREDENTIALS = struct.Struct("3i")
_NOT_RUNNING_BY_ITSELF = "RDTt"  # wants to run, waits for a disk, or was stopped: as proc(5) has it


class ChildLost(Exception):
    """The child died, hung or talked nonsense. `code` says how, `detail` says more."""

    def __init__(self, code: LostCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: LostCode = code
        self.detail = detail


class Child:
    """One decoder process and the parent's end of its socket.

    Start it in the thread of the event loop: a child dies with the thread that made it, which is what
    PR_SET_PDEATHSIG means by parent.
    """

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.pid = process.pid  # the decoder's own, once it said hello; until then perhaps bubblewrap's
        self.answers = 0
        self.lost = False
        self._process = process
        self._channel = channel
        self._cpu_seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[bytes] | None = None
        self._loop.add_reader(channel, self._readable)

    @classmethod
    def start(cls, command: Callable[[int], list[str]]) -> Self:
        """Start a process; it says hello when it is ready.

        Args:
            command: Makes the command line for the number of the socket's descriptor.

        Raises:
            OSError: The process could not be started.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 -- a command line of our own
                    command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env={},
                    cwd="/",
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        return cls(process, ours)

    async def hello(self, timeout: float) -> None:
        """Wait until the child is ready.

        Raises:
            ChildLost: It isn't: `detail` holds what it wrote to standard error.
        """
        try:
            said = wire.hello(await self._receive(timeout))
        except (ChildLost, wire.Garbled) as error:
            raise ChildLost("decode_crash", self._complaint() or str(error)) from error
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._cpu_seconds = said.cpu_seconds

    async def ask(self, request: bytes, files: Sequence[int], timeout: float) -> wire.Answer:
        """Give the child a job, with descriptors of its own of some files, and wait for the answer.

        Time in which it wanted to run but couldn't isn't held against it, `STARVED_ROUNDS` times.

        Raises:
            ChildLost: There is no answer, and the child must be discarded.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        nonce = wire.nonce()
        try:
            self._channel.sendmsg([nonce, b"\n", request], rights)
        except OSError as error:
            raise ChildLost("decode_crash", await self._ending()) from error
        packet = await self._receive(timeout)
        self.answers += 1
        try:
            said = wire.answer(packet, nonce)
        except wire.Garbled as error:
            raise ChildLost("decode_crash", str(error)) from error
        self._cpu_seconds = said.cpu_seconds
        return said

    async def discard(self) -> None:
        """Kill the process with all it started, and reap it."""
        self._forget()
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(EOFError())
        self._channel.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._exited()
        if self._process.stderr:
            self._process.stderr.close()

    async def _receive(self, timeout: float) -> bytes:
        if self.lost:
            raise ChildLost("decode_crash", await self._ending())
        self._waiting = self._loop.create_future()
        self._limit = self._loop.call_later(timeout, self._expire, timeout, STARVED_ROUNDS)
        try:
            return await self._waiting
        except EOFError:
            raise ChildLost("decode_crash", await self._ending()) from None
        finally:
            self._limit.cancel()
            self._waiting = None

    def _readable(self) -> None:
        # Room for credentials, in the greeting only: descriptors that a child sends are never taken.
        room = 0 if self.answers or self._cpu_seconds else socket.CMSG_SPACE(_CREDENTIALS.size)
        try:
            packet, ancillary, flags, _ = self._channel.recvmsg(wire.PACKET_BYTES, room)
        except BlockingIOError:
            return
        except OSError:
            packet, ancillary, flags = b"", [], 0
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS and len(data) == _CREDENTIALS.size:
                self.pid = _CREDENTIALS.unpack(data)[0]
        waiting = self._waiting if self._waiting and not self._waiting.done() else None
        if waiting and packet and not flags & socket.MSG_TRUNC:
            waiting.set_result(packet)
            return
        # The end of the process, an endless answer, or words nobody asked for: it is of no more use.
        self._forget()
        if waiting:
            waiting.set_exception(ChildLost("decode_crash", "its answer is too long") if packet else EOFError())

    def _expire(self, timeout: float, rounds: int) -> None:
        if not self.lost:
            self._readable()  # this process may be the one that slept: what has arrived is in time
        if self._waiting is None or self._waiting.done():
            return
        if rounds and self._starved(timeout):
            self._limit = self._loop.call_later(timeout, self._expire, timeout, rounds - 1)
        else:
            self._waiting.set_exception(ChildLost("decode_timeout", f"no answer within {timeout:g} s"))

    def _starved(self, timeout: float) -> bool:
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") - self._cpu_seconds
        return fields[0] in _NOT_RUNNING_BY_ITSELF and used < timeout / 2

    def _forget(self) -> None:
        if not self.lost:
            self.lost = True
            self._loop.remove_reader(self._channel)

    async def _ending(self) -> str:
        try:
            async with asyncio.timeout(1):
                await self._exited()
        except TimeoutError:
            return "it closed its socket"
        code = self._process.returncode
        number = -code if code < 0 else code - 128  # bubblewrap reports a signal as a shell does
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(number).name}"
        return f"it exited with status {code}"

    async def _exited(self) -> None:
        if self._process.poll() is not None:
            return
        handle = os.pidfd_open(self._process.pid)
        exited = asyncio.Event()
        self._loop.add_reader(handle, exited.set)
        try:
            await exited.wait()
        finally:
            self._loop.remove_reader(handle)
            os.close(handle)
        self._process.wait()

    def _complaint(self) -> str:
        if self._process.stderr is None or self._process.stderr.closed:
            return ""
        os.set_blocking(self._process.stderr.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            return os.read(self._process.stderr.fileno(), 4096).decode(errors="replace").strip()
        return ""
