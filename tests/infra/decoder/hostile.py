"""Jobs as a file could make them that took over its decoder. Loaded into children by tests only."""

import ctypes
import inspect
import mmap
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class Output(Protocol):
    """The child's own, which can't be imported from where this file lies."""

    file: int

    def write(self, content: bytes) -> dict[str, Any]:
        """Write a file."""
        ...


def echo(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """What a neighbour does: read its file and say so."""
    content = os.pread(file, 100, 0).decode() if file >= 0 else ""
    return {"args": args, "content": content, "inline": inline.decode(), "birth": _BIRTH}


def hang(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Sleep for ever, deaf to what can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def spin(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Burn CPU for ever."""
    while True:
        pass


def work(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Burn `seconds` of CPU, then be done."""
    end = time.process_time() + args["seconds"]
    while time.process_time() < end:
        pass
    return {}


def eat(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Take memory until there is none."""
    kept: list[bytearray] = []
    while True:
        kept.append(bytearray(16 * 1024 * 1024))


def use(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Need memory for the length of a job, in pieces; say how many pages of it the kernel had to find."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [bytearray(b"x" * args["each"]) for _ in range(args["pieces"])]
    del kept
    return {"faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before}


def segfault(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Write to address zero."""
    ctypes.memset(0, 1, 1)
    return {}


def crash_once(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Read, and die in a child that worked before, live in a fresh one: as after a leak."""
    content = os.read(file, 100).decode()
    if _worked:
        os.abort()
    return {"content": content}


def leave_a_trace(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Make this child one that worked before."""
    _worked.append(True)
    return {}


def leave(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Exit as if all were well."""
    os._exit(0)


def raise_an_error(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Trip over a decoder's bug."""
    raise KeyError("surprise")


def _attempt(deed: Callable[[], object]) -> str:
    try:
        deed()
    except ValueError as error:
        return str(error)
    except OSError as error:
        return type(error).__name__ if error.errno is None else os.strerror(error.errno)
    return "done"


def _fork() -> None:
    if os.fork() == 0:
        time.sleep(3600)


def escape(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Try every way out; say what became of each."""
    return {
        "connect": _attempt(lambda: socket.create_connection(("127.0.0.1", args["port"]), timeout=1)),
        "unix": _attempt(lambda: socket.socket(socket.AF_UNIX).connect(args["unix"])),
        "fork": _attempt(_fork),
        "exec": _attempt(lambda: os.execv("/bin/true", ["true"])),
        "passwd": _attempt(lambda: Path("/etc/passwd").read_text()),
        "home": _attempt(lambda: Path(args["home"]).read_text()),
        "proc": _attempt(lambda: list(Path("/proc/self").iterdir())),
        "tmp": _attempt(lambda: Path(args["tmp"]).write_text("out")),
        "code": _attempt(lambda: Path(__file__).with_name("planted.py").write_text("out")),
        "input": _attempt(lambda: os.pwrite(file, b"changed", 0)),
        "kill": _attempt(lambda: os.kill(args["pid"], signal.SIGKILL)),
        "limits": _attempt(lambda: __import__("resource").setrlimit(7, (1024, 1024))),
        "environment": " ".join(
            sorted(set(os.environ) - {"PWD", "LC_CTYPE", "VIPS_CONCURRENCY", "VIPS_BLOCK_UNTRUSTED"})
        ),
    }


def _say(words: bytes) -> None:
    _from_main("connection").send(words)


def _nonce() -> str:
    return _from_main("nonce").decode()


def _from_main(name: str) -> Any:
    """A variable of the child's own program: who took over the process sees everything in it."""
    frame = inspect.currentframe()
    while frame and name not in frame.f_locals:
        frame = frame.f_back
    assert frame
    return frame.f_locals[name]


def lie(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Say something that is no answer."""
    _say(args["words"].replace("NONCE", _nonce()).encode())
    time.sleep(3600)
    return {}


def chatter(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Answer, and then once more, for the next file's job to find."""
    for forged in (1, 2):
        _say(b'{"nonce": "%s", "cpu_seconds": 1, "ok": {"forged": %d}}' % (_nonce().encode(), forged))
    return {"forged": 3}


def babble(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Return more than an answer may hold."""
    return {"noise": "x" * args["bytes"]}


def resources(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Descriptors that are open."""
    return {"files": [number for number in range(64) if _is_open(number)]}


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def give(file: int, args: dict[str, Any], inline: bytes, output: Output) -> dict[str, Any]:
    """Give back so many files of so many bytes."""
    return {"files": [output.write(bytes([number]) * args["bytes"]) for number in range(args["files"])]}


def give_once(file: int, args: dict[str, Any], inline: bytes, output: Output) -> dict[str, Any]:
    """Write and die in a child that worked before; in a fresh one say what lies there."""
    if _worked:
        output.write(b"left behind")
        os.abort()
    return {"found": os.pread(output.file, 11, 0).decode().rstrip("\0")}


def tamper(file: int, args: dict[str, Any], inline: bytes, output: Output) -> dict[str, Any]:
    """Try to make the memory longer and shorter, and to write into it by other ways than the one there is."""
    memory, size = output.file, os.fstat(output.file).st_size
    return {
        "grow": _attempt(lambda: os.ftruncate(memory, size + 4096)),
        "shrink": _attempt(lambda: os.ftruncate(memory, 0)),
        "append": _attempt(lambda: os.pwrite(memory, b"x", size)),
        "hold": _attempt(lambda: _held.append(mmap.mmap(memory, size))),
    }


def tamper_later(file: int, args: dict[str, Any], inline: bytes) -> dict[str, Any]:
    """Write into the memory of a job that is over."""
    for memory in _held:
        memory[:4096] = b"x" * 4096
    return {"written": len(_held)}


_held: list[mmap.mmap] = []
_worked: list[bool] = []
_BIRTH = time.monotonic_ns()  # tells children apart: in its sandbox every one is process 2

JOBS = {
    job.__name__: job
    for job in (
        echo, hang, spin, work, eat, use, segfault, crash_once, leave_a_trace, leave, raise_an_error, escape, lie,
        chatter, babble, resources, give, give_once, tamper, tamper_later,
    )
}  # fmt: skip
