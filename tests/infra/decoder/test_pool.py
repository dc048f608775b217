import asyncio
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from infra.decoder import DecodeRejected, DecoderPool, DecoderUnavailable, SandboxUnavailable, unnamed_file
from infra.decoder import pool as pool_module
from infra.settings import MIB, Settings
from tests.infra.decoder.conftest import HOSTILE

Make = Callable[[bytes], int]


async def _neighbours(pool: DecoderPool, file: int, until: asyncio.Task[Any]) -> int:
    done = 0
    while not until.done():
        assert (await pool.run("echo", file))["content"] == "neighbour"
        done += 1
    return done


async def _code(pool: DecoderPool, job: str, args: dict[str, Any] | None = None, **options: Any) -> str:
    with pytest.raises(DecodeRejected) as rejected:
        await pool.run(job, args=args, **options)
    return rejected.value.code


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _ancestors(pid: int) -> list[int]:
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return [] if parent == os.getpid() else [parent, *_ancestors(parent)]


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.01)


async def test_a_job_gets_its_file_its_arguments_and_its_bytes(pool: DecoderPool, file_of: Make) -> None:
    """What the parent gives arrives; what the job returns comes back."""
    said = await pool.run("echo", file_of(b"content"), {"a": [1, "two"]}, inline=b"line\nline")
    assert said | {"birth": 0} == {"args": {"a": [1, "two"]}, "content": "content", "inline": "line\nline", "birth": 0}


async def test_jobs_run_side_by_side_one_at_a_time_in_each_child(pool: DecoderPool) -> None:
    """Many callers share few children, and each gets its own answer."""
    said = await asyncio.gather(*(pool.run("echo", args={"n": n}) for n in range(200)))
    assert [one["args"] for one in said] == [{"n": n} for n in range(200)]
    assert len({str(one["birth"]) for one in said}) <= 2


@pytest.mark.parametrize(
    ("job", "code", "timeout"),
    [
        ("hang", "decode_timeout", 1),
        ("spin", "decode_timeout", 1),
        ("eat", "decode_memory", 60),  # a busy machine gives memory slowly
        ("segfault", "decode_crash", 60),
        ("leave", "decode_crash", 60),
        ("raise_an_error", "decode_crash", 60),
    ],
)
async def test_a_hostile_file_is_rejected_and_harms_nobody_else(
    pool: DecoderPool, file_of: Make, job: str, code: str, timeout: float
) -> None:
    """It hangs, eats or crashes its own child, twice; the neighbours' jobs go on meanwhile, and afterwards."""
    file = file_of(b"neighbour")
    await _until(lambda: pool.idle == 2)
    hostile = asyncio.create_task(_code(pool, job, timeout=timeout))
    assert await _neighbours(pool, file, hostile) > 10
    assert await hostile == code
    said = await asyncio.gather(*(pool.run("echo", file) for _ in range(20)))
    assert {str(one["content"]) for one in said} == {"neighbour"}


async def test_nothing_gets_out(pool: DecoderPool, file_of: Make, tmp_path: Path) -> None:
    """No network, no socket, no process, no other file, no writing, no environment."""
    (tmp_path / "secret").write_text("secret")
    file = file_of(b"original")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        said = await pool.run(
            "escape",
            file,
            {
                "port": listener.getsockname()[1],
                "unix": str(tmp_path / "socket"),
                "home": str(tmp_path / "secret"),
                "tmp": str(tmp_path / "written"),
                "pid": os.getpid(),
            },
        )
    denied, absent = "Operation not permitted", "No such file or directory"
    assert said == {
        "connect": denied, "unix": denied, "fork": denied, "exec": denied, "kill": denied,
        "limits": "not allowed to raise maximum limit",
        "passwd": absent, "home": absent, "proc": absent, "tmp": absent,
        "code": "Read-only file system", "input": "Bad file descriptor", "environment": "",
    }  # fmt: skip
    assert os.pread(file, 100, 0) == b"original"


async def test_without_bubblewrap_the_system_call_filter_still_holds(tmp_path: Path) -> None:
    """`rlimits` is weaker, and still without network, processes or writing."""
    jobs = Path(shutil.copy(HOSTILE, tmp_path))
    pool = DecoderPool(Settings(sandbox="rlimits", decoder_processes=1), extra_jobs=jobs)
    await pool.start()
    file = unnamed_file()
    said = await pool.run(
        "escape", file, {"port": 1, "unix": "/x", "home": "/x", "tmp": str(tmp_path / "written"), "pid": os.getpid()}
    )
    os.close(file)
    await pool.aclose()
    assert {str(said[deed]) for deed in ("connect", "unix", "fork", "exec", "kill")} == {"Operation not permitted"}
    assert said["limits"] == "not allowed to raise maximum limit"
    assert (said["tmp"], said["input"], said["passwd"]) == ("File too large", "Bad file descriptor", "done")


@pytest.mark.parametrize(
    "words",
    ["{", "[]", '{"nonce": "NONCE", "cpu_seconds": 1}', '{"nonce": "NONCE", "cpu_seconds": 1, "ok": {}, "extra": 1}',
     '{"nonce": "NONCE", "cpu_seconds": 1, "rejected": {"code": "made_up", "reason": ""}}',
     '{"nonce": "NONCE", "cpu_seconds": 1, "ok": {}, "rejected": {"code": "corrupt", "reason": ""}}',
     '{"nonce": "0123456789abcdef", "cpu_seconds": 1, "ok": {}}', '{"nonce": "NONCE", "cpu_seconds": -1, "ok": {}}',
     "x" * 65_000],
)  # fmt: skip
async def test_a_lying_child_is_not_believed(pool: DecoderPool, words: str) -> None:
    """What is no answer ends the child, and after the second time the file."""
    assert await _code(pool, "lie", {"words": words}) == "decode_crash"
    assert (await pool.run("echo"))["content"] == ""


async def test_an_answer_is_bounded(pool: DecoderPool) -> None:
    """A child can't make its parent read without end."""
    assert len((await pool.run("babble", args={"bytes": 60_000}))["noise"]) == 60_000  # pyright: ignore[reportArgumentType] -- it is text
    assert await _code(pool, "babble", {"bytes": 70_000}) == "decode_crash"


async def test_a_request_is_bounded(pool: DecoderPool) -> None:
    """Too many inline bytes are the caller's mistake, and no child sees them."""
    with pytest.raises(ValueError, match="exceeds 65536"):
        await pool.run("echo", inline=bytes(65_536))


async def test_an_answer_too_many_is_not_the_next_files(pool: DecoderPool) -> None:
    """A child that answers twice is ended before its second answer can pass for another file's."""
    assert await asyncio.gather(pool.run("chatter"), pool.run("chatter")) == [{"forged": 1}] * 2
    for _ in range(20):
        assert "forged" not in await pool.run("echo")


async def test_a_childs_history_is_not_blamed_on_the_file(pool: DecoderPool, file_of: Make) -> None:
    """A crash in a child that worked before is tried again in a fresh one, from the file's first byte."""
    await asyncio.gather(pool.run("leave_a_trace"), pool.run("leave_a_trace"))
    assert await pool.run("crash_once", file_of(b"content")) == {"content": "content"}


async def test_a_child_that_dies_idle_is_replaced(pool: DecoderPool) -> None:
    """Killed by somebody else between two jobs, it costs no job."""
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert (await pool.run("echo"))["content"] == ""


async def test_a_stopped_child_is_not_the_files_fault(pool: DecoderPool) -> None:
    """A child that got no CPU gets its time again: here it was stopped for longer than its time limit."""
    await _until(lambda: pool.idle == 2)
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    stopped = asyncio.create_task(pool.run("work", args={"seconds": 0.1}, timeout=0.5))
    await asyncio.wait({stopped}, timeout=0.8)
    assert not stopped.done()
    pids = set(pool.pids)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert await stopped == {}
    assert set(pool.pids) == pids


async def test_a_parent_that_slept_takes_what_arrived_meanwhile(pool: DecoderPool) -> None:
    """The time limit is not held against an answer that lay there when the parent woke up."""
    job = asyncio.create_task(pool.run("work", args={"seconds": 0.05}, timeout=0.2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(0.5)  # noqa: ASYNC251 -- the parent is what sleeps
    assert await job == {}


async def test_a_cancelled_job_takes_its_child_with_it(pool: DecoderPool) -> None:
    """Nobody waits for a hung job that nobody wants; the place is filled again."""
    await _until(lambda: pool.idle == 2)
    pids = pool.pids
    hanging = [asyncio.create_task(pool.run("hang")) for _ in range(2)]
    await _until(lambda: pool.idle == 0)
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    assert (await pool.run("echo"))["content"] == ""
    await _until(lambda: not any(_alive(pid) for pid in pids))


async def test_children_are_retired(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many jobs a child makes room for a fresh one."""
    monkeypatch.setattr(pool_module, "JOBS_PER_CHILD", 3)
    pids = {str((await pool.run("echo"))["birth"]) for _ in range(12)}
    assert len(pids) >= 3


async def test_memory_is_kept_for_the_next_job_and_given_back_after_a_moment(pool: DecoderPool) -> None:
    """A second job of the same size finds its pages where they were; an idle child is as small as before."""

    def resident() -> int:
        return max(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pool.pids) * 4096

    args: dict[str, Any] = {"pieces": 20, "each": MIB}
    await pool.run("echo")
    before = resident()
    await pool.run("use", args=args)
    again = await pool.run("use", args=args)
    assert resident() > before + 15 * MIB
    assert again["faults"] < 500  # pyright: ignore[reportOperatorIssue] -- of 5,000 pages
    await _until(lambda: resident() < before + 5 * MIB)


async def test_no_descriptor_is_left_behind(pool: DecoderPool, file_of: Make) -> None:
    """Neither in the children nor here, after good jobs and bad ones."""
    file = file_of(b"x")
    await asyncio.gather(*(pool.run("echo", file) for _ in range(20)))
    before = _open_files()
    said = await pool.run("resources", file)
    for _ in range(3):
        await _code(pool, "segfault")
    await asyncio.gather(*(pool.run("echo", file) for _ in range(20)))
    await _until(lambda: _open_files() <= before)
    assert len(said["files"]) == 5  # pyright: ignore[reportArgumentType] -- standard streams, the socket, the file


async def test_closing_leaves_no_process_behind_and_nobody_waiting() -> None:
    """Children are dead and reaped, a running job's caller and a waiting one's are told."""
    pool = DecoderPool(Settings(decoder_processes=1), extra_jobs=HOSTILE)
    await pool.start()
    [pid] = pool.pids
    family = [pid, *_ancestors(pid)]
    jobs = [asyncio.create_task(pool.run("hang")) for _ in range(3)]
    await asyncio.sleep(0)
    await pool.aclose()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert {type(result) for result in results} == {DecoderUnavailable}
    await _until(lambda: not any(Path(f"/proc/{one}").exists() for one in family))
    with pytest.raises(DecoderUnavailable):
        await pool.run("echo")


async def test_start_up_fails_where_bubblewrap_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing and what to do, the explicit choice included."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailable, match=r"(?s)no bwrap on PATH.*Install bubblewrap.*TIDEGATE_SANDBOX=rlimits"):
        await DecoderPool(Settings()).start()


async def test_start_up_fails_where_bubblewrap_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What bubblewrap had to say is in the message."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match=r"(?s)No permissions to create.*TIDEGATE_SANDBOX=rlimits"):
        await DecoderPool(Settings()).start()


async def test_start_up_fails_where_bubblewrap_does_not_confine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first child tries to get out: a bwrap that confines nothing is found out."""
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="sees /etc"):
        await DecoderPool(Settings()).start()


async def test_too_little_memory_is_said_at_start_up() -> None:
    """A limit that the decoders themselves don't fit in names the limit's consequence."""
    with pytest.raises(SandboxUnavailable, match="could not be started"):
        await DecoderPool(Settings(decoder_memory_bytes=24 * MIB)).start()


_PARENT = """
import asyncio, sys
from pathlib import Path
from infra.decoder import DecoderPool
from infra.settings import Settings

async def main():
    pool = DecoderPool(Settings(sandbox=sys.argv[1], decoder_processes=1), extra_jobs=Path(sys.argv[2]))
    await pool.start()
    print(pool.pids[0], flush=True)
    await pool.run("hang")

asyncio.run(main())
"""


@pytest.mark.parametrize("sandbox", ["required", "rlimits"])
async def test_children_end_when_their_parent_is_killed(sandbox: str) -> None:
    """SIGKILL included, in the middle of a hung job."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, sandbox, str(HOSTILE), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    child = int(await parent.stdout.readline())
    assert _alive(child)
    parent.kill()
    await parent.wait()
    await _until(lambda: not _alive(child))


def test_the_pool_works_in_uvloop() -> None:
    """Workers run uvloop: good and hostile jobs end there as they do in asyncio's own loop."""

    async def run() -> None:
        pool = DecoderPool(Settings(decoder_processes=1), extra_jobs=HOSTILE)
        await pool.start()
        assert (await pool.run("echo"))["content"] == ""
        assert await _code(pool, "segfault") == "decode_crash"
        assert await _code(pool, "hang", timeout=0.2) == "decode_timeout"
        assert (await pool.run("echo"))["content"] == ""
        await pool.aclose()

    uvloop.run(run())
