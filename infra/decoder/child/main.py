"""Serve decoding jobs, one at a time, until the parent closes the socket."""

import array
import json
import os
import select
import socket
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from . import memory
from .limits import limit
from .output import Output
from .rejected import Rejected
from .seccomp import filter_system_calls

Job = Callable[..., dict[str, Any]]

PACKET_BYTES = 64 * 1024
LONGEST_TEXT = 1000
IDLE_SECONDS = 1.0


def main(channel: int, memory_bytes: int, tasks: int | None, modules: list[str]) -> None:
    """Confine this process, load the jobs, then serve.

    Args:
        channel: Descriptor of the packet socket to the parent.
        memory_bytes: Address space this process may use.
        tasks: Processes and threads there may be in its user namespace; None: it has none of its own.
        modules: Modules that hold a `JOBS` table: name to function of (descriptor, arguments, inline bytes), and of an
            `Output` where it makes files.
    """
    limit(memory_bytes, tasks)
    memory.keep()
    jobs: dict[str, Job] = {}
    for name in modules:
        jobs.update(cast("dict[str, Job]", import_module(name).JOBS))
    filter_system_calls()
    os.dup2(0, 2)  # standard error was for failing to start; a decoder that grumbles must not fill the pipe
    with socket.socket(fileno=channel) as connection:
        _send(connection, {})
        while True:
            if not select.select([connection], [], [], IDLE_SECONDS)[0]:
                memory.give_back()
            if not _serve(connection, jobs):
                return


def _serve(connection: socket.socket, jobs: dict[str, Job]) -> bool:
    packet, ancillary, _, _ = connection.recvmsg(PACKET_BYTES, socket.CMSG_SPACE(2 * array.array("i").itemsize))
    if not packet:
        return False
    files = array.array("i")
    for _, _, data in ancillary:
        files.frombytes(data)
    nonce, head, inline = packet.split(b"\n", 2)
    request = json.loads(head)
    try:
        given = dict(zip(request["files"], files, strict=True))
        more = [Output(given["output"])] if "output" in given else []
        said = _run(jobs[request["job"]], given.get("file", -1), request["args"], inline, *more)
    finally:
        for file in files:
            os.close(file)
    _send(connection, {"nonce": nonce.decode(), **said})
    return True


def _run(job: Job, file: int, args: dict[str, Any], *more: bytes | Output) -> dict[str, Any]:
    try:
        return {"ok": job(file, args, *more)}
    except Rejected as verdict:
        return {"rejected": {"code": verdict.code, "reason": verdict.reason[:LONGEST_TEXT]}}
    except MemoryError:
        return {"failed": {"memory": True, "detail": "out of memory"}}
    except Exception as error:  # noqa: BLE001 -- whatever it was, this process has had its day
        return {"failed": {"memory": False, "detail": f"{type(error).__name__}: {error}"[:LONGEST_TEXT]}}


def _send(connection: socket.socket, said: dict[str, Any]) -> None:
    connection.send(json.dumps({"cpu_seconds": time.process_time(), **said}).encode())
