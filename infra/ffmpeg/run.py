"""One run of one of FFmpeg's programs: started in its sandbox, bounded, and ended with all that it started."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.decoder import DecodeRejected, DecoderUnavailable, SandboxUnavailable, sandbox, unnamed_file
from infra.decoder.spool import named, read_only_view, remove_names
from infra.ffmpeg.confined import Limits, command, system_call_filter
from infra.settings import Settings

__all__ = ["Ends", "Ffmpeg", "Limits", "Ran"]

CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 1024 * 1024
# What the sandbox's own programs say before FFmpeg runs: about this machine, never about the file.
_NOT_FFMPEG = (b"bwrap: ", b"prlimit: ")
_NO_PROGRAM = 127
_SIGNALLED = 128  # as a shell and bubblewrap report it: and the signal's number


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


class Ffmpeg:
    """Runs FFmpeg's programs, as many at once as there are decoders."""

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
        seconds = self.settings.decoder_timeout_seconds
        limits = Limits(self.settings.decoder_memory_bytes, int(seconds) + 1, 3 * seconds)
        file = unnamed_file(self.settings.work_dir)
        try:
            ran = await self.run("ffprobe", ["-v", "error", "-show_program_version"], file, limits)
        except SandboxUnavailable:
            raise
        except (DecoderUnavailable, DecodeRejected) as error:
            if self.settings.sandbox != "required":
                raise DecoderUnavailable(f"FFprobe does not run: {error}") from error
            raise SandboxUnavailable(sandbox.REMEDY.format(why=f"FFprobe does not run in it: {error}")) from error
        finally:
            os.close(file)
        if not ran.good:
            raise DecoderUnavailable(f"FFprobe does not run: {ran.complained[:1000]}")

    async def run(self, program: str, arguments: list[str], file: int, limits: Limits) -> Ran:
        """Run a program on a file, in a sandbox of its own. Cancelled, the program ends.

        Args:
            program: `ffprobe` or `ffmpeg`.
            arguments: Its arguments; `confined.INPUT` among them is the file.
            file: Descriptor of the file; the program gets a read-only one.
            limits: What it may take.

        Raises:
            DecodeRejected: `decode_timeout`, `decode_crash`.
            DecoderUnavailable: It could not be started; says nothing about the file.
        """
        async with self._slots:
            with contextlib.ExitStack() as stack:
                handed = [system_call_filter()]
                stack.callback(os.close, handed[0])
                if self.settings.sandbox == "required":
                    path = stack.enter_context(named(file))
                else:
                    handed.append(read_only_view(file))
                    stack.callback(os.close, handed[1])
                    path = Path(f"/proc/self/fd/{handed[1]}")
                line = command(self.settings, program, arguments, path, handed[0], limits)
                return await _run(line, handed, limits)


async def _run(line: list[str], files: Sequence[int], limits: Limits) -> Ran:
    try:
        process = await asyncio.create_subprocess_exec(
            *line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=files,
            start_new_session=True,
        )
    except OSError as error:
        raise DecoderUnavailable(f"{line[0]} could not be started: {error}") from error
    said, complained = Ends(), Ends()
    assert process.stdout
    assert process.stderr
    try:
        async with asyncio.timeout(limits.wall_seconds):
            await asyncio.gather(_drain(process.stdout, said), _drain(process.stderr, complained))
            code = await process.wait()
    except TimeoutError:
        raise DecodeRejected("decode_timeout", f"not done within {limits.wall_seconds:g} s") from None
    finally:
        if process.returncode is None:
            # Everything inside bubblewrap dies with it.
            os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
    return _outcome(code, said, complained, limits)


async def _drain(stream: asyncio.StreamReader, into: Ends) -> None:
    while chunk := await stream.read(CHUNK_BYTES):
        into.take(chunk)


def _outcome(code: int, said: Ends, complained: Ends, limits: Limits) -> Ran:
    number = -code if code < 0 else code - _SIGNALLED
    if complained.head.startswith(_NOT_FFMPEG) or code == _NO_PROGRAM:
        raise DecoderUnavailable(complained.head.decode(errors="replace")[:1000])
    if number in {signal.SIGXCPU, signal.SIGKILL}:
        raise DecodeRejected("decode_timeout", f"it took more than {limits.cpu_seconds} s of CPU time")
    if number > 0:
        raise DecodeRejected("decode_crash", f"it ended by signal {number}")
    return Ran(code == 0, said.lines(), "\n".join(complained.lines()))
