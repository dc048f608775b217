"""An original is fetched once for all who read it, checked, and gone when nobody needs it any more."""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from infra import originals as module
from infra.errors import Gone
from infra.objects import Objects
from infra.originals import Changed, Originals
from schemas.objects import ObjectRef
from tests.infra.servers import BUCKET, MinioServer, minio_server

BODY = os.urandom(1_000_000)


@pytest.fixture(scope="module")
def server() -> Generator[MinioServer]:
    """One real MinIO."""
    with minio_server() as running:
        yield running


@pytest.fixture
async def objects(server: MinioServer) -> AsyncIterator[Objects]:
    """A client of its bucket."""
    async with server.objects() as client:
        yield client


@pytest.fixture
async def ref(objects: Objects) -> ObjectRef:
    """A promoted original."""
    await objects.put("permanent/a/original.mp4", BODY, content_type="video/mp4")
    digest = hashlib.sha256(BODY).hexdigest()
    return ObjectRef(bucket=BUCKET, key="permanent/a/original.mp4", size=len(BODY), sha256=digest)


def _files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def _descriptors() -> int:
    return len(_files(Path("/proc/self/fd")))


class Counted:
    """The store, with its reads counted."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.reads = 0

    @asynccontextmanager
    async def open(self, ref: ObjectRef) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Read."""
        self.reads += 1
        async with self._objects.open(ref) as chunks:
            yield chunks


async def _is_fetched(shared: Originals, counted: Counted, ref: ObjectRef) -> None:
    """Nothing was kept of it: the store is read once, and the whole of it is there."""
    async with shared.open(ref) as original:
        assert os.pread(original.file, len(BODY), 0) == BODY
    assert counted.reads == 1
    await shared.aclose()


async def test_one_copy_for_all(objects: Objects, ref: ObjectRef, tmp_path: Path) -> None:
    """Ten readers at once, and one right after them, are one read of the store."""
    counted: Any = Counted(objects)
    shared = Originals(counted, tmp_path)

    async def read() -> bool:
        async with shared.open(ref) as original:
            return original.path.read_bytes() == BODY and os.pread(original.file, len(BODY), 0) == BODY

    assert all(await asyncio.gather(*(read() for _ in range(10))))
    assert await read()
    assert counted.reads == 1
    await shared.aclose()
    assert _files(tmp_path) == []


async def test_gone_when_nobody_reads(
    objects: Objects, ref: ObjectRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while without readers the copy is removed; the next reader has a new one."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.01)
    counted: Any = Counted(objects)
    shared = Originals(counted, tmp_path)
    async with shared.open(ref) as original:
        path = original.path
        assert _files(tmp_path) == [path]
    while _files(tmp_path):  # noqa: ASYNC110 -- a directory says nothing when it goes
        await asyncio.sleep(0.005)
    async with shared.open(ref) as original:
        assert os.fstat(original.file).st_size == len(BODY)
    assert counted.reads == 2
    await shared.aclose()


async def test_other_bytes_are_refused(objects: Objects, ref: ObjectRef, tmp_path: Path) -> None:
    """What isn't what was promoted is read by nobody, and what isn't there says so; neither leaves a file."""
    shared = Originals(objects, tmp_path)
    with pytest.raises(Changed, match="has the SHA-256"):
        async with shared.open(ref.model_copy(update={"sha256": "0" * 64})):
            pytest.fail("read")
    with pytest.raises(Gone):
        async with shared.open(ref.model_copy(update={"key": "permanent/none"})):
            pytest.fail("read")
    assert _files(tmp_path) == []
    async with shared.open(ref) as original:
        assert original.path.exists()
    await shared.aclose()


async def test_whoever_gives_up_leaves_the_others_theirs(objects: Objects, ref: ObjectRef, tmp_path: Path) -> None:
    """One reader that is cancelled while the copy is made doesn't end it for a second one."""
    shared = Originals(objects, tmp_path)

    async def read() -> int:
        async with shared.open(ref) as original:
            return original.path.stat().st_size

    first, second = asyncio.create_task(read()), asyncio.create_task(read())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == len(BODY)
    with pytest.raises(asyncio.CancelledError):
        await first
    await shared.aclose()
    assert _files(tmp_path) == []


async def test_what_passed_through_is_not_fetched_again(
    objects: Objects, ref: ObjectRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept of a file that was read for something else is what the next reader has, until it is in the way."""
    monkeypatch.setattr(module, "PASSED_ON_BYTES_TOGETHER", int(1.5 * len(BODY)))
    counted: Any = Counted(objects)
    shared = Originals(counted, tmp_path)
    with shared.passing(len(BODY)) as passing:
        for start in range(0, len(BODY), 64 * 1024):
            passing.write(BODY[start : start + 64 * 1024])
        passing.keep(ref)
    async with shared.open(ref) as original:
        assert original.path.read_bytes() == BODY
    assert counted.reads == 0
    # There is no room for a second one: it is fetched.
    other = ref.model_copy(update={"sha256": None})
    with shared.passing(len(BODY)) as passing:
        passing.write(BODY)
        passing.keep(other)
    async with shared.open(other) as original:
        assert os.pread(original.file, len(BODY), 0) == BODY
    assert counted.reads == 1
    await shared.aclose()
    assert _files(tmp_path) == []


async def test_what_passed_through_and_was_not_kept_is_gone(objects: Objects, ref: ObjectRef, tmp_path: Path) -> None:
    """What failed on its way, or was another, no reader gets; what is too large is not taken down."""
    counted: Any = Counted(objects)
    shared = Originals(counted, tmp_path)
    opened = _descriptors()
    with shared.passing(len(BODY)) as passing:
        passing.write(b"something else")
    with shared.passing(module.PASSED_ON_BYTES + 1) as passing:
        passing.write(b"something else")
        passing.keep(ref)
    assert _descriptors() == opened
    await _is_fetched(shared, counted, ref)


async def test_a_file_is_put_as_it_is(objects: Objects, tmp_path: Path) -> None:
    """Any size; what is said of it is true."""
    for size in (0, 1, 5_000_000):
        body = os.urandom(size)
        (tmp_path / "file").write_bytes(body)
        stored = await objects.put_file("permanent/a/thumb.webp", tmp_path / "file", content_type="image/webp")
        assert (stored.size, stored.sha256) == (size, hashlib.sha256(body).hexdigest())
        info = await objects.head("permanent/a/thumb.webp")
        assert info is not None
        assert info.etag == stored.etag
        got = await objects.get(ObjectRef(bucket=BUCKET, key="permanent/a/thumb.webp", size=size))
        assert got == body


async def test_of_two_with_the_same_bytes_one_is_gone(objects: Objects, ref: ObjectRef, tmp_path: Path) -> None:
    """Two media may share a SHA-256 and no more: what befalls the one's object says nothing about the other's."""
    other = ref.model_copy(update={"key": "permanent/none"})
    await objects.put("permanent/b/original.mp4", b"something else", content_type="video/mp4")
    third = ref.model_copy(update={"key": "permanent/b/original.mp4"})
    shared = Originals(objects, tmp_path)

    async def read(which: ObjectRef) -> bool:
        async with shared.open(which) as original:
            return os.pread(original.file, len(BODY), 0) == BODY

    for stranger, wrong in ((other, Gone), (third, Changed)):
        first, second = await asyncio.gather(read(stranger), read(ref), return_exceptions=True)
        assert (type(first), second) == (wrong, True)
        await shared.aclose()


async def test_many_small_files(objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come within the seconds that copies linger, few descriptors are open: the newest are there."""
    monkeypatch.setattr(module, "LINGERING", 8)
    counted: Any = Counted(objects)
    shared = Originals(counted, tmp_path)

    async def small(number: int) -> ObjectRef:
        body = b"%04d" % number
        await objects.put(f"permanent/{number}/original.txt", body, content_type="text/plain")
        digest = hashlib.sha256(body).hexdigest()
        return ObjectRef(bucket=BUCKET, key=f"permanent/{number}/original.txt", size=4, sha256=digest)

    refs = [await small(number) for number in range(40)]
    opened = _descriptors()
    for number, ref in enumerate(refs[:20]):
        with shared.passing(4) as passing:
            passing.write(b"%04d" % number)
            passing.keep(ref)
    for ref in refs[20:]:
        async with shared.open(ref):
            assert _descriptors() - opened < 8 + 4
    fetched = counted.reads
    async with shared.open(refs[32]) as oldest:
        assert os.pread(oldest.file, 4, 0) == b"0032"
    assert counted.reads == fetched
    await shared.aclose()


async def test_what_passes_needs_no_space(
    objects: Objects, ref: ObjectRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full or missing, or nobody reads here, nothing is kept, and nobody is told."""

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space")

    counted: Any = Counted(objects)
    shared = Originals(counted, tmp_path)
    opened = _descriptors()
    with shared.passing(len(BODY)) as passing:
        passing.write(BODY[:1000])
        with monkeypatch.context() as patch:
            patch.setattr("infra.decoder.spool.os.write", full)
            passing.write(BODY[1000:2000])
        passing.write(BODY[2000:])
        passing.keep(ref)
    for nowhere in (Originals(counted, tmp_path / "none"), Originals(counted, tmp_path, passed_on=False)):
        with nowhere.passing(len(BODY)) as passing:
            passing.write(BODY)
            passing.keep(ref)
    assert _descriptors() == opened
    await _is_fetched(shared, counted, ref)


async def test_files_on_their_way_count(objects: Objects, tmp_path: Path) -> None:
    """Eight files that are scanned at once share the room that one after another would have."""
    shared = Originals(objects, tmp_path)
    opened = _descriptors()
    with contextlib.ExitStack() as scans:
        for _ in range(8):
            scans.enter_context(shared.passing(module.PASSED_ON_BYTES))
        assert _descriptors() - opened == module.PASSED_ON_BYTES_TOGETHER // module.PASSED_ON_BYTES
    with shared.passing(module.PASSED_ON_BYTES):
        assert _descriptors() - opened == 1
