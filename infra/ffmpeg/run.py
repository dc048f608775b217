"""One run of one of FFmpeg's programs: started in its sandbox, bounded, and ended with all that it started."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from infra.decoder import DecodeRejected, DecoderUnavailable, SandboxUnavailable, sandbox
from infra.decoder.spool import remove_names
from infra.ffmpeg.confined import Limits, command, system_call_filter
from infra.settings import Settings
from infra.workspace import remove_workspaces

__all__ = ["Ends", "Ffmpeg", "Killed", "Limits", "Ran"]

CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 1024 * 1024
# What the sandbox's own programs say before FFmpeg runs: about this machine, never about the file.
_NOT_FFMPEG = (b"bwrap: ", b"prlimit: ")
_NO_PROGRAM = 127
_NO_SPACE = "No space left on device"
_SIGNALLED = 128  # as a shell and bubblewrap report it: and the signal's number
# Of `ffmpeg`, which hears the signal of its limit of CPU time as one to stop, and of four of them as one to stop now.
_STOPPED = {255, 123}


OnLine = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Ends:
    """The beginning and the end of what a program wrote: it may write without end, and little of it is kept.

    Attributes:
        head: The first `HEAD_BYTES`.
        tail: The last `TAIL_BYTES`, at least, of what came after them.
        cut: Whether something between them is missing.
    """

    head: bytes = b""
    tail: bytearray = field(default_factory=bytearray)
    cut: bool = False

    def take(self, chunk: bytes) -> None:
        """Add what was written."""
        room = HEAD_BYTES - len(self.head)
        self.head += chunk[:room]
        self.tail += chunk[room:] if room > 0 else chunk
        if len(self.tail) > 2 * TAIL_BYTES:
            del self.tail[:-TAIL_BYTES]
            self.cut = True

    def lines(self) -> list[str]:
        """All lines that were kept whole, an empty one where some are missing."""
        if not self.cut:
            return (self.head + bytes(self.tail)).decode(errors="replace").splitlines()
        head = self.head.decode(errors="replace").splitlines()[:-1]
        return [*head, "", *self.tail.decode(errors="replace").splitlines()[1:]]


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended that was not ended by a limit or a crash.

    Attributes:
        good: Whether the program was content.
        said: Its output.
        complained: What it wrote to standard error: may quote the file, and is for nobody to read.
    """

    good: bool
    said: list[str]
    complained: str


class Killed(Exception):
    """Somebody else ended the program: the system, where memory ran out, or a person. No word about the file."""


class Ffmpeg:
    """Runs FFmpeg's programs: quick ones as many at once as there are decoders, the rest as the CPU budget has it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._slots = asyncio.Semaphore(settings.decoder_processes)

    async def start(self) -> None:
        """See that FFprobe runs here, confined, and take away what a killed process left.

        Raises:
            SandboxUnavailable: It can't be confined here; the message says what to do.
            DecoderUnavailable: It can't run here.
        """
        remove_names(self.settings.work_dir)
        remove_workspaces(self.settings.work_dir)
        seconds = self.settings.decoder_timeout_seconds
        limits = Limits(self.settings.decoder_memory_bytes, int(seconds) + 1, 3 * seconds)
        try:
            # Any file will do.
            ran = await self.run("ffprobe", ["-v", "error", "-show_program_version"], Path(__file__), limits)
        except SandboxUnavailable:
            raise
        except (DecoderUnavailable, DecodeRejected) as error:
            if self.settings.sandbox != "required":
                raise DecoderUnavailable(f"FFprobe does not run: {error}") from error
            raise SandboxUnavailable(sandbox.REMEDY.format(why=f"FFprobe does not run in it: {error}")) from error
        if not ran.good:
            raise DecoderUnavailable(f"FFprobe does not run: {ran.complained[:1000]}")

    async def run(
        self,
        program: str,
        arguments: list[str],
        file: Path,
        limits: Limits,
        *,
        output: Path | None = None,
        on_line: OnLine | None = None,
        background: bool = False,
        budgeted: bool = False,
    ) -> Ran:
        """Run a program on a file, in a sandbox of its own. Cancelled, the program ends.

        Args:
            program: `ffprobe` or `ffmpeg`.
            arguments: Its arguments; `confined.INPUT` among them is the file, `confined.OUTPUT` the directory, and what
                begins with `/output/` is in there.
            file: The file: see `infra.decoder.named`, for one without a name.
            limits: What it may take.
            output: The one directory that it may write to, files of at most `limits.file_bytes`; it may read there too.
            on_line: Called with each line of its output (`-progress pipe:1`), in order.
            background: Everything else on the machine goes before it, and it takes no decoder's place: for what runs
                for long, as many at once as the CPU budget lets.
            budgeted: It takes no decoder's place either, since who calls it has a share of the CPU budget; but is no
                less urgent than others. A probe doesn't wait until a song is coded.

        Raises:
            DecodeRejected: `decode_timeout`, `decode_crash`; `bomb`: it would write more than it may.
            DecoderUnavailable: It could not be started; says nothing about the file.
            Killed: Neither a limit nor the file ended it.
            OSError: No space is left.
        """
        async with contextlib.nullcontext() if background or budgeted else self._slots:
            system_calls = system_call_filter()
            line = command(
                self.settings, program, arguments, file, system_calls, limits, output=output, background=background
            )
            try:
                return await _run(line, system_calls, limits, on_line)
            finally:
                os.close(system_calls)


async def _run(line: list[str], system_calls: int, limits: Limits, on_line: OnLine | None) -> Ran:
    process = await _started(line, system_calls)
    said, complained = Ends(), Ends()
    try:
        async with asyncio.timeout(limits.wall_seconds):
            code = await _read(process, said, complained, on_line)
    except TimeoutError:
        raise DecodeRejected("decode_timeout", f"not done within {limits.wall_seconds:g} s") from None
    finally:
        await _ended(process)
    return _outcome(code, said, complained, limits)


async def _started(line: list[str], system_calls: int) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=(system_calls,),
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except OSError as error:
        raise DecoderUnavailable(f"{line[0]} could not be started: {error}") from error
    except asyncio.CancelledError:
        # Cancelled while it starts, asyncio would end the first process alone, not what that has started already.
        await _ended(await starting)
        raise


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill the process if it still runs, with its whole group: nothing that it started can have left that."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(_read(process, Ends(), Ends()))


async def _read(
    process: asyncio.subprocess.Process, said: Ends, complained: Ends, on_line: OnLine | None = None
) -> int:
    """Take what it writes until it ends; only then are its pipes closed."""
    assert process.stdout
    assert process.stderr
    await asyncio.gather(_drain(process.stdout, said, on_line), _drain(process.stderr, complained))
    return await process.wait()


async def _drain(stream: asyncio.StreamReader, into: Ends, on_line: OnLine | None = None) -> None:
    rest = b""
    while chunk := await stream.read(CHUNK_BYTES):
        into.take(chunk)
        if on_line is not None:
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:CHUNK_BYTES]
            for line in lines:
                await on_line(line.decode(errors="replace"))


def _outcome(code: int, said: Ends, complained: Ends, limits: Limits) -> Ran:
    number = -code if code < 0 else code - _SIGNALLED
    if complained.head.startswith(_NOT_FFMPEG) or code == _NO_PROGRAM:
        raise DecoderUnavailable(complained.head.decode(errors="replace")[:1000])
    if number == signal.SIGKILL:
        raise Killed("FFmpeg was killed: see whether this machine ran out of memory, and run fewer at once there")
    if number == signal.SIGXCPU or code in _STOPPED:
        raise DecodeRejected("decode_timeout", f"it took more than {limits.cpu_seconds} s of CPU time")
    if number == signal.SIGXFSZ:
        raise DecodeRejected("bomb", f"what is made of it has more than {limits.file_bytes:,} bytes")
    if number > 0:
        raise DecodeRejected("decode_crash", f"it ended by signal {number}")
    ran = Ran(code == 0, said.lines(), "\n".join(complained.lines()))
    if limits.file_bytes and code != 0 and _NO_SPACE in ran.complained:
        raise OSError(errno.ENOSPC, "no space is left where temporary files live (TIDEGATE_WORK_DIR)")
    return ran
