"""A large file goes through in flat memory: no Tidegate process grows with it."""

import hashlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from bench.processes import descendants, reset_peak, resident, usage
from cli.installation import answers
from infra.local.process import Process
from infra.local.threaded import ThreadedStack
from infra.tokens import issue
from schemas.document import event_name
from schemas.events import Promoted
from tests.faults.burst import Burst, bursting, environment
from tests.samples.documents import unique_pdf

MIB = 1024 * 1024
GROWTH = 64 * MIB
LINE = b"%015d line of a long text\n"
COMMENT = b"%%%015d in the middle of it\n"
BLOCK_LINES = 25_600
Kind = Literal["text/plain", "application/pdf"]
EACH_KIND = pytest.mark.parametrize("kind", ["text/plain", "application/pdf"])
TOLD = {"max_upload_bytes": 2047 * MIB, "sweep_seconds": 86_400, "decoder_processes": 2}


@EACH_KIND
@pytest.mark.faults
async def test_quarter_of_a_gigabyte(own_stack: ThreadedStack, tmp_path: Path, kind: Kind) -> None:
    """No process grows by more than 64 MiB on 256 MiB; the whole gigabyte takes a minute, in `make faults`."""
    await goes_through(own_stack, tmp_path, kind, 256 * MIB)


@EACH_KIND
@pytest.mark.slow_faults
async def test_gigabyte(own_stack: ThreadedStack, tmp_path: Path, kind: Kind) -> None:
    """No process grows by more than 64 MiB on 1 GiB."""
    await goes_through(own_stack, tmp_path, kind, 1024 * MIB)


async def goes_through(stack: ThreadedStack, directory: Path, kind: Kind, size: int) -> None:
    """Upload a document of about this size through a gateway, and hold every process to its growth."""
    blocks = size // (BLOCK_LINES * len(LINE % 0))
    async with bursting(stack, directory, **TOLD) as burst, gateway(stack, directory) as door:
        await upload(burst, kind, 1)
        run = burst.run.pid
        named = {"run": run, "gateway": door.pid} | {f"child {pid} of run": pid for pid in descendants(run)}
        before = {name: resident(pid) for name, pid in named.items()}
        for pid in named.values():
            reset_peak(pid)
        await upload(burst, kind, blocks)
        grown = {name: usage(pid).peak - before[name] for name, pid in named.items()}
        sys.stdout.write(f"{blocks} blocks: MiB grown { ({name: by // MIB for name, by in grown.items()}) }\n")
        assert set(descendants(run)) <= set(named.values()), "a decoder was replaced: its growth is unknown"
        assert max(grown.values()) <= GROWTH, grown


async def upload(burst: Burst, kind: Kind, blocks: int) -> None:
    """Upload so many blocks, wait until they are ready, and compare what is in permanent/."""
    digest = hashlib.sha256()
    head, line, end = frame(kind, blocks)

    async def body() -> AsyncIterator[bytes]:
        for block in range(-1, blocks + 1):
            lines = range(block * BLOCK_LINES, (block + 1) * BLOCK_LINES)
            data = head if block < 0 else end if block == blocks else b"".join(line % number for number in lines)
            digest.update(data)
            yield data

    length = len(head) + blocks * BLOCK_LINES * len(line % 0) + len(end)
    wish = {"filename": "long", "content_type": kind, "size": length}
    secret = burst.system.settings.jwt_secret.get_secret_value()
    headers = {"Authorization": f"Bearer {issue(secret, owner='alice', scopes=('upload',))}"}
    patience = aiohttp.ClientTimeout(total=300)
    async with burst.system.http.post(
        f"{burst.system.settings.gateway_url}/v1/uploads", json=wish, headers=headers
    ) as response:
        assert response.status == 201, await response.text()
        wanted = await response.json()
    async with burst.system.http.put(
        wanted["url"], headers=wanted["headers"], data=body(), timeout=patience
    ) as response:
        assert response.status == 200, await response.text()
    terminal = await burst.system.ended(wanted["media_id"], patience=300)
    assert event_name(terminal) == "ready"
    promoted = await burst.system.happens(wanted["media_id"], "promoted")
    original = Promoted.model_validate(promoted["data"]).original
    assert original.sha256 == digest.hexdigest()
    info = await burst.system.objects.head(original.key)
    assert info is not None
    assert info.size == length


def frame(kind: Kind, blocks: int) -> tuple[bytes, bytes, bytes]:
    """What stands before so many blocks of lines, the line, and what stands behind: a text, or comments in a PDF."""
    if kind == "text/plain":
        return b"", LINE, b""
    head, mark, rest = unique_pdf(blocks).rpartition(b"xref\n0 ")
    table, start, _ = rest.partition(b"startxref")
    position = len(head) + blocks * BLOCK_LINES * len(COMMENT % 0)
    return head, COMMENT, mark + table + start + b"\n%d\n%%%%EOF\n" % position


@asynccontextmanager
async def gateway(stack: ThreadedStack, directory: Path) -> AsyncGenerator[Process]:
    """A gateway where the stack says that it is."""

    async def serving() -> bool:
        return await answers(stack.info.ports["gateway"], "/healthz")

    door = Process(
        "gateway",
        [sys.executable, "-m", "gateway"],
        log_file=directory / "gateway.log",
        ready=serving,
        environment=environment(stack.environment("gateway"), TOLD),
    )
    try:
        await door.start()
        yield door
    finally:
        await door.stop()
