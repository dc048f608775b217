"""The thin S3 client against a real MinIO, a killed and a frozen one, and a fake for what a real one never says."""

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.errors import DependencyDown, Gone, PreconditionFailed, StoreRefused
from infra.objects import SOURCE_SHA256, SOURCE_VERSION, Objects
from schemas.objects import ObjectRef
from tests.infra.servers import BUCKET, ROOT, MinioServer, minio_server

MIB = 1024 * 1024
PDF = "application/pdf"
ABSENT = "01234567-89ab-4cde-8f01-23456789abcd"


@pytest.fixture(scope="module")
def server() -> Generator[MinioServer]:
    """One real MinIO for all tests that leave it well."""
    with minio_server() as running:
        yield running


@pytest.fixture
async def objects(server: MinioServer) -> AsyncIterator[Objects]:
    """A client of its bucket."""
    async with server.objects() as client:
        yield client


async def uploaded(objects: Objects, key: str, data: bytes) -> ObjectRef:
    """Put an object under temp/ and return the reference to the version that made."""
    await objects.put(key, data, content_type=PDF)
    info = await objects.head(key)
    assert info is not None
    return ObjectRef(bucket=BUCKET, key=key, version_id=info.version_id, size=len(data))


async def promoted(objects: Objects, ref: ObjectRef, data: bytes) -> str:
    """Copy a version to permanent/ as promote does and return the copy's key."""
    key = f"permanent/{ref.key.removeprefix('temp/')}/original.pdf"
    metadata = {SOURCE_VERSION: str(ref.version_id), SOURCE_SHA256: hashlib.sha256(data).hexdigest()}
    await objects.copy(ref, key, content_type=PDF, metadata=metadata)
    return key


class TestReadAndWrite:
    """Put, head, get."""

    @pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB])
    async def test_round_trip(self, objects: Objects, size: int) -> None:
        """What was put comes back, whatever its size."""
        data = os.urandom(size)
        etag = await objects.put("permanent/a", data, content_type=PDF, metadata={"Owner": "alice", "x": "a b"})
        info = await objects.head("permanent/a")
        assert info is not None
        assert (info.size, info.etag, info.content_type, info.version_id) == (size, etag, PDF, None)
        assert info.metadata == {"owner": "alice", "x": "a b"}
        assert await objects.get(ObjectRef(bucket=BUCKET, key="permanent/a", size=size)) == data

    @pytest.mark.parametrize(
        "key", ["permanent/a b", "permanent/é/日本", "permanent/a+b&c=d?e#f%20~'()*!", "permanent/<x>"]
    )
    async def test_awkward_keys(self, objects: Objects, key: str) -> None:
        """Any key can be written, read, listed, copied and deleted."""
        await objects.put(key, b"x", content_type=PDF)
        ref = ObjectRef(bucket=BUCKET, key=key, size=1)
        assert await objects.get(ref) == b"x"
        assert [entry.key async for entry in objects.list(key)] == [key]
        assert [entry.key async for entry in objects.list_versions(key)] == [key]
        assert (await objects.copy(ref, f"{key}2", content_type=PDF)).sha256 == hashlib.sha256(b"x").hexdigest()
        await objects.delete(key)
        assert await objects.head(key) is None

    async def test_ranges(self, objects: Objects) -> None:
        """A part can be read; what lies beyond the end isn't there."""
        data = os.urandom(1000)
        ref = await uploaded(objects, "temp/range", data)
        assert await objects.get(ref, 0, 10) == data[:10]
        assert await objects.get(ref, 990, 100) == data[990:]
        assert await objects.get(ref, 500) == data[500:]
        assert await objects.get(ref, 1000, 10) == b""
        empty = await uploaded(objects, "temp/empty", b"")
        assert await objects.get(empty, 0, 10) == b""

    async def test_bound(self, objects: Objects) -> None:
        """No more is read into memory than the caller allows."""
        ref = await uploaded(objects, "temp/bound", bytes(1000))
        with pytest.raises(ValueError, match="999 allowed"):
            await objects.get(ref, at_most=999)
        assert len(await objects.get(ref, at_most=1000)) == 1000
        assert len(await objects.get(ref, 0, 10, at_most=10)) == 10

    async def test_conditions(self, objects: Objects) -> None:
        """Of two writers, the one who read an older state is told so."""
        await objects.delete("records/c")
        etag = await objects.put("records/c", b"1", content_type=PDF, if_none_match=True)
        with pytest.raises(PreconditionFailed):
            await objects.put("records/c", b"2", content_type=PDF, if_none_match=True)
        newer = await objects.put("records/c", b"3", content_type=PDF, if_match=etag)
        with pytest.raises(PreconditionFailed):
            await objects.put("records/c", b"4", content_type=PDF, if_match=etag)
        assert newer != etag
        assert await objects.get(ObjectRef(bucket=BUCKET, key="records/c", size=1)) == b"3"

    @pytest.mark.parametrize("value", ["é", "a\r\nx-amz-acl: public-read", "\x00"])
    async def test_metadata(self, objects: Objects, value: str) -> None:
        """Metadata that wouldn't come back as it went is refused, and can't become a header."""
        with pytest.raises(ValueError, match="printable ASCII"):
            await objects.put("permanent/m", b"", content_type=PDF, metadata={"a": value})

    async def test_head_of_nothing(self, objects: Objects) -> None:
        """No object, no such version, a delete marker, and what isn't a version id at all are all nothing."""
        ref = await uploaded(objects, "temp/head", b"x")
        assert await objects.head("temp/none") is None
        assert await objects.head("temp/head", ABSENT) is None
        assert await objects.head("temp/head", "not a version") is None
        assert await objects.head("temp/head", ref.version_id) is not None

    async def test_checksum(self, objects: Objects) -> None:
        """MinIO's checksum of a copy is there when asked for."""
        ref = await uploaded(objects, "temp/checksum", b"x")
        await objects.copy(ref, "permanent/checksum", content_type=PDF)
        plain, asked = await objects.head("permanent/checksum"), await objects.head("permanent/checksum", checksum=True)
        assert plain is not None
        assert asked is not None
        assert (plain.sha256, asked.sha256) == (None, hashlib.sha256(b"x").hexdigest())


class TestVersions:
    """Under temp/ every act names the version."""

    async def test_each_version_by_itself(self, objects: Objects) -> None:
        """Two versions of a key are two objects: read, copied and deleted each by itself."""
        first = await uploaded(objects, "temp/two", b"first")
        second = await uploaded(objects, "temp/two", b"second!")
        assert await objects.get(first) == b"first"
        copied = await objects.copy(first, "permanent/two/original.pdf", content_type=PDF)
        assert copied.sha256 == hashlib.sha256(b"first").hexdigest()
        await objects.delete(first.key, first.version_id)
        assert await objects.head(first.key, first.version_id) is None
        assert await objects.get(second) == b"second!"

    async def test_unnamed(self, objects: Objects) -> None:
        """A reference without its version is refused before anything is asked."""
        ref = ObjectRef(bucket=BUCKET, key="temp/two", size=5)
        with pytest.raises(ValueError, match="version"):
            await objects.get(ref)
        with pytest.raises(ValueError, match="version"):
            await objects.copy(ref, "permanent/x", content_type=PDF)
        with pytest.raises(ValueError, match="version"):
            await objects.delete("temp/two")
        with pytest.raises(ValueError, match="version"):
            await objects.resolve(ref)
        with pytest.raises(ValueError, match="version"):
            async with objects.open(ref):
                pass

    async def test_delete_is_idempotent(self, objects: Objects) -> None:
        """Deleting what isn't there is fine, and leaves no delete marker behind."""
        ref = await uploaded(objects, "temp/del", b"x")
        for version in (ref.version_id, ref.version_id, ABSENT, "not a version"):
            await objects.delete("temp/del", version)
        await objects.delete("permanent/never")
        assert [entry async for entry in objects.list_versions("temp/del")] == []

    async def test_copy_replaces_metadata(self, objects: Objects) -> None:
        """A copy has the metadata it was given, not the uploader's."""
        await objects.put("temp/meta", b"x", content_type="text/html", metadata={"evil": "1"})
        seen = await objects.head("temp/meta")
        assert seen is not None
        ref = ObjectRef(bucket=BUCKET, key="temp/meta", version_id=seen.version_id, size=1)
        copied = await objects.copy(ref, "permanent/meta", content_type=PDF, metadata={"good": "2"})
        info = await objects.head("permanent/meta")
        assert info is not None
        assert (info.metadata, info.content_type, info.etag) == ({"good": "2"}, PDF, copied.etag)

    async def test_copy_of_nothing(self, objects: Objects, server: MinioServer) -> None:
        """A source that is gone, in whichever way, is Gone, and nothing is written."""
        ref = await uploaded(objects, "temp/hidden", b"x")
        server.admin.remove_object(BUCKET, "temp/hidden")
        marker = await anext(objects.list_versions("temp/hidden"))
        for key, version in (
            ("temp/never", ABSENT),
            ("temp/hidden", ABSENT),
            ("temp/hidden", "not a version"),
            ("temp/hidden", str(marker.version_id)),
        ):
            source = ref.model_copy(update={"key": key, "version_id": version})
            with pytest.raises(Gone, match=key):
                await objects.copy(source, "permanent/hidden", content_type=PDF)
            with pytest.raises(Gone, match=key):
                await objects.get(source)
        assert await objects.head("permanent/hidden") is None
        assert await objects.get(ref) == b"x"


class TestResolve:
    """What becomes of a reference to a version that was promoted and discarded."""

    async def test_promoted(self, objects: Objects) -> None:
        """It leads to the promoted object, by resolve, get and open alike."""
        data = os.urandom(200_000)
        ref = await uploaded(objects, "temp/moved", data)
        key = await promoted(objects, ref, data)
        assert await objects.resolve(ref) == ref
        await objects.delete(ref.key, ref.version_id)
        there = await objects.resolve(ref)
        assert (there.key, there.version_id, there.size) == (key, None, len(data))
        assert there.sha256 == hashlib.sha256(data).hexdigest()
        assert await objects.get(ref) == data
        assert await objects.get(ref, 10, 10) == data[10:20]
        async with objects.open(ref) as body:
            assert b"".join([chunk async for chunk in body]) == data

    async def test_for_replays(self, objects: Objects) -> None:
        """A replay reads what was promoted though its version is there, and the version where nothing was promoted."""
        data = os.urandom(1000)
        ref = await uploaded(objects, "temp/again", data)
        again = objects.for_replays()
        assert await again.resolve(ref) == ref
        assert await again.get(ref) == data
        key = await promoted(objects, ref, data)
        promoted_from = {SOURCE_VERSION: str(ref.version_id), SOURCE_SHA256: "0" * 64}
        await objects.put(key, data[::-1], content_type=PDF, metadata=promoted_from)
        assert (await again.resolve(ref)).key == key
        assert await again.get(ref) == data[::-1]
        async with again.open(ref) as body:
            assert b"".join([chunk async for chunk in body]) == data[::-1]
        assert await objects.get(ref) == data

    async def test_another_version(self, objects: Objects) -> None:
        """It doesn't lead to what was promoted from another version."""
        first = await uploaded(objects, "temp/other", b"first")
        second = await uploaded(objects, "temp/other", b"other")
        await promoted(objects, second, b"other")
        await objects.delete(first.key, first.version_id)
        for attempt in (objects.resolve(first), objects.get(first)):
            with pytest.raises(Gone):
                await attempt

    async def test_another_media(self, objects: Objects) -> None:
        """It doesn't lead to a media whose id begins alike, nor to one whose size differs."""
        ref = await uploaded(objects, "temp/pre", b"x")
        await promoted(objects, ref.model_copy(update={"key": "temp/pre"}), b"x")
        shorter = ref.model_copy(update={"key": "temp/pr"})
        larger = ref.model_copy(update={"size": 2})
        await objects.delete(ref.key, ref.version_id)
        for gone in (shorter, larger):
            with pytest.raises(Gone):
                await objects.resolve(gone)

    async def test_nothing(self, objects: Objects) -> None:
        """Without bytes anywhere it is Gone."""
        ref = ObjectRef(bucket=BUCKET, key="temp/nothing", version_id=ABSENT, size=1)
        for attempt in (objects.resolve(ref), objects.get(ref)):
            with pytest.raises(Gone) as caught:
                await attempt
            assert (caught.value.key, caught.value.version_id) == ("temp/nothing", ABSENT)


class TestListings:
    """Both listings, page by page."""

    async def test_pages(self, objects: Objects) -> None:
        """More than a page comes complete and in order, from any key on."""
        keys = [f"work/list/{number:04}" for number in range(1205)]
        for start in range(0, len(keys), 32):
            await asyncio.gather(*(objects.put(key, b"", content_type=PDF) for key in keys[start : start + 32]))
        assert [entry.key async for entry in objects.list("work/list/")] == keys
        assert [entry.key async for entry in objects.list("work/list/", start_after=keys[99])] == keys[100:]
        assert [entry.key async for entry in objects.list_versions("work/list/")] == keys
        assert [entry.key async for entry in objects.list("work/nothing/")] == []

    async def test_versions(self, objects: Objects, server: MinioServer) -> None:
        """Every version and delete marker is listed, the newest of a key first, and the listing goes on after any."""
        refs = [await uploaded(objects, f"temp/lv/{key}", b"x" * size) for key in "abc" for size in (1, 2, 3)]
        server.admin.remove_object(BUCKET, "temp/lv/b")
        entries = [entry async for entry in objects.list_versions("temp/lv/")]
        shape = [(entry.key[-1], entry.size, entry.is_latest, entry.is_delete_marker) for entry in entries]
        assert shape == [
            ("a", 3, True, False),
            ("a", 2, False, False),
            ("a", 1, False, False),
            ("b", 0, True, True),
            ("b", 3, False, False),
            ("b", 2, False, False),
            ("b", 1, False, False),
            ("c", 3, True, False),
            ("c", 2, False, False),
            ("c", 1, False, False),
        ]
        assert {entry.version_id for entry in entries} >= {ref.version_id for ref in refs}
        for index, entry in enumerate(entries):
            rest = objects.list_versions("temp/lv/", entry.key, str(entry.version_id))
            assert [later async for later in rest] == entries[index + 1 :]
        after_a = [entry async for entry in objects.list_versions("temp/lv/", "temp/lv/a")]
        assert after_a == entries[3:]


class TestStreaming:
    """open()."""

    async def test_chunks(self, objects: Objects) -> None:
        """A body comes in chunks of 64 KiB or more, but for the last."""
        data = os.urandom(5 * MIB + 17)
        ref = await uploaded(objects, "temp/stream", data)
        async with objects.open(ref) as body:
            chunks = [chunk async for chunk in body]
        assert b"".join(chunks) == data
        assert all(len(chunk) >= 64 * 1024 for chunk in chunks[:-1])

    async def test_flat_memory(self, objects: Objects) -> None:
        """Reading 256 MiB, fast or with pauses, costs the process a few MiB."""
        ref = await uploaded(objects, "temp/large", bytes(256 * MIB))
        before = peak = resident()
        for pause in (False, True):
            size = 0
            async with objects.open(ref) as body:
                async for chunk in body:
                    size += len(chunk)
                    peak = max(peak, resident())
                    if pause:
                        await asyncio.sleep(0)
            assert size == ref.size
        assert peak - before < 8 * MIB

    async def test_left_early(self, objects: Objects) -> None:
        """A reader may leave in the midst of a body; the next request isn't disturbed."""
        ref = await uploaded(objects, "temp/left", os.urandom(8 * MIB))
        for _ in range(100):
            async with objects.open(ref) as body:
                await anext(body)
        assert len(await objects.get(ref)) == 8 * MIB


class TestFailures:
    """Whatever happens to MinIO is DependencyDown, and never a short or wrong answer."""

    async def test_not_there(self) -> None:
        """Nobody listens."""
        async with Objects(
            url="http://127.0.0.1:1", region="r", access_key="a", secret_key="b", bucket="tidegate"
        ) as o:
            for attempt in (o.alive(), o.head("a"), o.put("a", b"", content_type=PDF), o.delete("permanent/a")):
                with pytest.raises(DependencyDown) as caught:
                    await attempt
                assert caught.value.dependency == "minio"

    async def test_frozen(self, server: MinioServer) -> None:
        """A frozen MinIO is noticed within the timeout, in every operation; thawed, it serves again."""
        async with server.objects(timeout=0.5) as objects:
            ref = await uploaded(objects, "temp/frozen", bytes(16 * MIB))
            await objects.alive()
            server.freeze()
            try:
                for attempt in (
                    objects.alive(),
                    objects.head("temp/frozen"),
                    objects.get(ref),
                    objects.put("permanent/f", b"x", content_type=PDF),
                    objects.put("permanent/f", bytes(4 * MIB), content_type=PDF),
                    objects.copy(ref.model_copy(update={"size": 1}), "permanent/g", content_type=PDF),
                    objects.delete(ref.key, ref.version_id),
                    anext(objects.list("temp/")),
                ):
                    with pytest.raises(DependencyDown):
                        await attempt
            finally:
                server.thaw()
            await objects.alive()
            assert await objects.head("permanent/absent") is None

    async def test_frozen_mid_body(self, server: MinioServer) -> None:
        """A MinIO that freezes in the midst of a body ends the reading with an error."""
        async with server.objects(timeout=0.5) as objects:
            ref = await uploaded(objects, "temp/midway", os.urandom(32 * MIB))
            try:
                with pytest.raises(DependencyDown):
                    await read(objects, ref, meanwhile=server.freeze)
            finally:
                server.thaw()

    async def test_killed_mid_body(self) -> None:
        """A MinIO killed in the midst of a body ends the reading with an error, not with a short file."""
        with minio_server() as doomed:
            async with doomed.objects() as objects:
                ref = await uploaded(objects, "temp/midway", os.urandom(32 * MIB))
                with pytest.raises(DependencyDown):
                    await read(objects, ref, meanwhile=doomed.kill)
                with pytest.raises(DependencyDown):
                    await objects.alive()

    async def test_reader_s_own_error(self, objects: Objects) -> None:
        """What goes wrong at the reader's stays the reader's error."""
        ref = await uploaded(objects, "temp/own", os.urandom(MIB))

        def fail() -> None:
            raise TimeoutError("mine")

        with pytest.raises(TimeoutError, match="mine"):
            await read(objects, ref, meanwhile=fail)

    async def test_wrong_credentials(self, server: MinioServer) -> None:
        """Wrong credentials are a refusal: waiting wouldn't help, and MinIO is alive."""
        async with server.objects("nobody", "whatever-it-is") as objects:
            with pytest.raises(StoreRefused) as caught:
                await objects.put("permanent/a", b"", content_type=PDF)
            assert (caught.value.status, caught.value.code) == (403, "InvalidAccessKeyId")
            await objects.alive()

    async def test_no_bucket(self, server: MinioServer) -> None:
        """A bucket that isn't there isn't a lost upload: nothing may be given up for it."""
        async with Objects(
            url=server.url, region="us-east-1", access_key=ROOT[0], secret_key=ROOT[1], bucket="elsewhere"
        ) as objects:
            ref = ObjectRef(bucket="elsewhere", key="temp/a", version_id=ABSENT, size=1)
            for attempt in (objects.alive(), objects.get(ref), objects.head("temp/a"), objects.resolve(ref)):
                with pytest.raises(DependencyDown, match="NoSuchBucket"):
                    await attempt

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 503 Slow Down\r\nContent-Length: 26\r\n\r\n<Error><Code>SlowDown</Cod",
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\n<html",
            b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
        ],
    )
    async def test_half_answers(self, answer: bytes) -> None:
        """An answer that is cut short, isn't HTTP, or says "later" is no answer."""
        async with fake(answer) as objects:
            ref = ObjectRef(bucket=BUCKET, key="permanent/a", size=10)
            with pytest.raises(DependencyDown):
                await objects.get(ref)
            with pytest.raises(DependencyDown):
                await read(objects, ref)

    @pytest.mark.parametrize(
        "body", [b"", b"<Error><Code>InternalError</Code></Error>", b'<CopyObjectResult xmlns="x"></CopyObjectResult>']
    )
    async def test_copy_without_result(self, body: bytes) -> None:
        """A 200 without a result and its checksum isn't a copy."""
        answer = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)
        async with fake(answer) as objects:
            with pytest.raises(DependencyDown):
                await objects.copy(ObjectRef(bucket=BUCKET, key="permanent/a", size=1), "b", content_type=PDF)

    async def test_not_found_by_somebody_else(self) -> None:
        """A 404 that isn't S3's (a proxy's, say) doesn't make bytes gone."""
        async with fake(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno route.") as objects:
            with pytest.raises(StoreRefused):
                await objects.get(ObjectRef(bucket=BUCKET, key="temp/a", version_id=ABSENT, size=1))

    async def test_stale_connection(self) -> None:
        """A kept-alive connection that MinIO has closed costs a second try, not an error."""
        async with fake(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", closes_on_second=True) as objects:
            ref = ObjectRef(bucket=BUCKET, key="permanent/a", size=2)
            for _ in range(4):
                assert await objects.get(ref) == b"ok"


async def read(objects: Objects, ref: ObjectRef, meanwhile: Callable[[], None] = lambda: None) -> bytes:
    """Read a body to its end, with something happening at every chunk."""
    async with objects.open(ref) as body:
        chunks: list[bytes] = []
        async for chunk in body:
            meanwhile()
            chunks.append(chunk)
        return b"".join(chunks)


def resident() -> int:
    """Bytes of memory that this process occupies now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@asynccontextmanager
async def fake(answer: bytes, *, closes_on_second: bool = False) -> AsyncGenerator[Objects]:
    """A client of a server that gives every request one answer and closes.

    With `closes_on_second` a connection stays open after its first answer and is closed by its second request.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if closes_on_second:
                await reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with Objects(url=url, region="r", access_key="a", secret_key="b", bucket=BUCKET, timeout=5) as objects:
            yield objects
    finally:
        server.close()
        await server.wait_closed()
