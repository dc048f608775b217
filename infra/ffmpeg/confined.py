"""The command line that runs one of FFmpeg's programs, confined by bubblewrap unless settings say otherwise.

What the program sees: itself, the system's libraries and its one input, read-only. No network, no other process, no
/proc, /dev, /home or /tmp, no environment, nowhere to write but the one directory that a call may name; of /etc the
links that choose between libraries.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from infra.decoder import DecoderUnavailable, sandbox
from infra.decoder.child.seccomp import filter_code
from infra.settings import Settings

INPUT = "/input"
OUTPUT = "/output"
ALTERNATIVES = "/etc/alternatives"  # Debian's libblas and liblapack, which FFmpeg loads, are links to links in there
DEAF_SECONDS = 5  # what a program that doesn't hear the first signal gets beyond its limit
OPEN_FILES = 256  # a package of many rungs and chunks
NICENESS = "10"

# Without bubblewrap an interpreter takes the rest from itself before it becomes the program.
_WRAPPER = (
    "import os, sys; sys.path.append({package!r}); from child.limits import bind_to_parent; "
    "from child.seccomp import filter_system_calls; bind_to_parent(); filter_system_calls(programs=True); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may take.

    Attributes:
        memory_bytes: Address space.
        cpu_seconds: CPU time.
        wall_seconds: Time in all.
        file_bytes: Size of each file that it writes.
    """

    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float
    file_bytes: int = 0


def command(
    settings: Settings,
    program: str,
    arguments: list[str],
    file: Path,
    system_calls: int,
    limits: Limits,
    *,
    output: Path | None = None,
    background: bool = False,
) -> list[str]:
    """Build the command line.

    Args:
        settings: Whether to sandbox.
        program: `ffprobe` or `ffmpeg`.
        arguments: Its arguments; `INPUT` among them is the input, `OUTPUT` and what begins with `OUTPUT/` is in the
            directory for output.
        file: The input.
        system_calls: Descriptor of a file that holds the system call filter, which the process inherits.
        limits: What it may take.
        output: The one directory that it may write to.
        background: Whether everything else goes before it.

    Raises:
        SandboxUnavailable: A sandbox is required and there is no bubblewrap.
        DecoderUnavailable: The program, or the one that sets its limits, is not installed.
    """
    tool = _installed(program)
    bounded = [*([_installed("nice"), "-n", NICENESS] if background else []), *_bounded(limits), "--"]
    if settings.sandbox != "required":
        visible = [_outside(argument, file, output) for argument in arguments]
        wrapper = _WRAPPER.format(package=str(sandbox.CHILD.parent))
        return [*bounded, str(sandbox.interpreter()), "-I", "-S", "-c", wrapper, tool, *visible]
    filtered = ["--seccomp", str(system_calls)] if filter_code(programs=True) else []
    binds = ["--ro-bind", tool, tool]
    for path in (*sandbox.LIBRARIES, ALTERNATIVES):
        binds += ["--ro-bind-try", path, path]
    binds += ["--ro-bind", str(file), INPUT, *(["--bind", str(output), OUTPUT] if output else [])]
    binds += ["--remount-ro", "/"]
    return [*bounded, sandbox.bubblewrap(), *sandbox.WALLS, *filtered, *binds, "--", tool, *arguments]


def system_call_filter() -> int:
    """Open a file without a name that holds the filter, to be closed by the caller."""
    file = os.memfd_create("filter")
    os.write(file, filter_code(programs=True) or b"")
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _outside(argument: str, file: Path, output: Path | None) -> str:
    if argument == INPUT:
        return str(file)
    if output and (argument == OUTPUT or argument.startswith(f"{OUTPUT}/")):
        return f"{output}{argument.removeprefix(OUTPUT)}"
    return argument


def _bounded(limits: Limits) -> list[str]:
    return [
        _installed("prlimit"),
        f"--as={limits.memory_bytes}",
        # First the signal that says why, then the one that nothing survives.
        f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + DEAF_SECONDS}",
        f"--fsize={limits.file_bytes}",
        f"--nofile={OPEN_FILES}",
        "--core=0",
    ]


def _installed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise DecoderUnavailable(f"{program} is not installed: install FFmpeg and util-linux (Debian's names)")
    return str(Path(found).resolve())
