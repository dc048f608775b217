"""The clamd adapter against a real clamd, a killed and a frozen one, and a fake for lies a real one can't tell."""

import asyncio
import hashlib
import io
import os
import struct
import zipfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.clamd import Clamd, ClamVersion, Verdict
from infra.errors import DependencyDown, Gone
from tests.infra.servers import EICAR, ClamdServer, clamd_server

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Generator[ClamdServer]:
    """One real clamd for all tests that leave it well."""
    with clamd_server(changes={"StreamMaxLength": "2M", "MaxFiles": "10"}) as running:
        yield running


@pytest.fixture
def clamd(server: ClamdServer) -> Clamd:
    """The adapter to it."""
    return Clamd(str(server.path))


async def stream(*chunks: bytes) -> AsyncGenerator[bytes]:
    """The chunks, one by one."""
    for chunk in chunks:
        yield chunk


async def pieces(data: bytes, size: int = 64 * 1024) -> AsyncGenerator[bytes]:
    """The data in chunks of one size."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


class TestRealClamd:
    """What a healthy clamd says."""

    async def test_clean_stream(self, clamd: Clamd) -> None:
        """A stream with nothing in it is clean, with its size, SHA-256 and who scanned it."""
        data = os.urandom(700_000)
        verdict = await clamd.scan(pieces(data))
        assert verdict == Verdict("clean", None, len(data), hashlib.sha256(data).hexdigest(), await clamd.version())

    async def test_chunk_sizes_do_not_matter(self, clamd: Clamd) -> None:
        """One chunk larger than the socket's buffer, many of one byte, and empty ones between give one digest."""
        data = os.urandom(MIB)
        whole = await clamd.scan(stream(data))
        split = await clamd.scan(stream(data[:1], b"", data[1:2], data[2:700_000], b"", data[700_000:], b""))
        assert whole == split
        assert whole.sha256 == hashlib.sha256(data).hexdigest()

    async def test_empty_stream(self, clamd: Clamd) -> None:
        """A stream of no bytes is scanned like any other."""
        verdict = await clamd.scan(stream())
        assert (verdict.status, verdict.size, verdict.sha256) == ("clean", 0, hashlib.sha256().hexdigest())

    @pytest.mark.parametrize("tail", [b"", b"\n", b" " * 50])
    async def test_infected_stream(self, clamd: Clamd, tail: bytes) -> None:
        """EICAR is infected, under the signature's name, however the file is cut into chunks."""
        verdict = await clamd.scan(stream(EICAR[:20], EICAR[20:] + tail))
        assert verdict.status == "infected"
        assert verdict.signature == "Eicar-Test-Signature.UNOFFICIAL"
        assert verdict.sha256 == hashlib.sha256(EICAR + tail).hexdigest()

    async def test_infected_inside_an_archive(self, clamd: Clamd) -> None:
        """Archives are looked into."""
        assert (await clamd.scan(stream(archive({"a.txt": EICAR})))).status == "infected"

    async def test_encrypted_archive(self, clamd: Clamd) -> None:
        """What clamd can't decrypt is unscannable, not clean and not infected."""
        verdict = await clamd.scan(stream(encrypted_archive()))
        assert (verdict.status, verdict.signature) == ("unscannable", "Heuristics.Encrypted.Zip")

    async def test_archive_over_a_limit(self, clamd: Clamd) -> None:
        """An archive with more in it than clamd will look at is unscannable."""
        verdict = await clamd.scan(stream(archive({f"{n}.bin": os.urandom(2000) for n in range(50)})))
        assert verdict.status == "unscannable"
        assert str(verdict.signature).startswith("Heuristics.Limits.Exceeded")

    @pytest.mark.parametrize("size", [2 * MIB + 1, 3 * MIB, 16 * MIB])
    async def test_stream_over_the_limit(self, clamd: Clamd, size: int) -> None:
        """A stream longer than clamd takes is unscannable, whether clamd hangs up in its midst or at its end."""
        verdict = await clamd.scan(pieces(os.urandom(size), 256 * 1024))
        assert (verdict.status, verdict.signature) == ("unscannable", "StreamMaxLength")
        assert verdict.size <= size

    async def test_stream_at_the_limit(self, clamd: Clamd) -> None:
        """The limit itself is still allowed."""
        assert (await clamd.scan(pieces(os.urandom(2 * MIB)))).status == "clean"

    async def test_many_at_once(self, clamd: Clamd) -> None:
        """Concurrent scans don't get each other's verdicts."""
        bodies = [EICAR if n % 3 == 0 else os.urandom(5000) for n in range(60)]
        verdicts = await asyncio.gather(*(clamd.scan(stream(body)) for body in bodies))
        for body, verdict in zip(bodies, verdicts, strict=True):
            assert verdict.status == ("infected" if body == EICAR else "clean")
            assert verdict.sha256 == hashlib.sha256(body).hexdigest()

    async def test_failing_source(self, clamd: Clamd) -> None:
        """What the source of the bytes raises passes through, and clamd is well afterwards."""

        async def cut() -> AsyncGenerator[bytes]:
            yield os.urandom(100_000)
            raise Gone("temp/a")

        with pytest.raises(Gone):
            await clamd.scan(cut())
        await clamd.ping()

    async def test_commands(self, clamd: Clamd) -> None:
        """Ping, version and stats are answered."""
        await clamd.ping()
        version = await clamd.version()
        assert version.engine[0].isdigit()
        assert version.signatures is None
        assert "THREADS" in await clamd.stats()

    async def test_over_tcp(self, server: ClamdServer) -> None:
        """The adapter speaks TCP as well."""
        async with tcp_relay(server.path) as address:
            clamd = Clamd(address)
            await clamd.ping()
            assert (await clamd.scan(stream(EICAR))).status == "infected"
            assert (await clamd.scan(pieces(os.urandom(MIB)))).status == "clean"
            with pytest.raises(DependencyDown):
                await Clamd("tcp://127.0.0.1:1").ping()

    async def test_flat_memory(self, server: ClamdServer) -> None:
        """A source that is faster than clamd is held back: no more than a chunk is on its way."""
        clamd = Clamd(str(server.path), write_seconds=1.0)
        handed = 0

        async def source() -> AsyncGenerator[bytes]:
            nonlocal handed
            server.freeze()
            for _ in range(30):
                handed += 64 * 1024
                yield bytes(64 * 1024)

        try:
            with pytest.raises(DependencyDown, match="took no bytes"):
                await clamd.scan(source())
        finally:
            server.thaw()
        assert handed <= MIB


class TestFailsClosed:
    """Nothing but clamd's exact answer to the whole stream is clean."""

    async def test_not_there(self, tmp_path: Path) -> None:
        """No socket, no verdict."""
        clamd = Clamd(str(tmp_path / "none.sock"))
        for attempt in (clamd.ping(), clamd.version(), clamd.scan(stream(b"a"))):
            with pytest.raises(DependencyDown) as caught:
                await attempt
            assert caught.value.dependency == "clamd"

    async def test_killed_mid_stream(self) -> None:
        """A clamd killed while it is sent a stream gives no verdict."""
        with clamd_server() as server:

            async def source() -> AsyncGenerator[bytes]:
                for part in range(200):
                    if part == 5:
                        server.kill()
                    yield os.urandom(64 * 1024)

            with pytest.raises(DependencyDown):
                await Clamd(str(server.path)).scan(source())

    async def test_frozen(self, server: ClamdServer) -> None:
        """A frozen clamd, to which one can connect and write, gives no verdict; thawed, it serves again."""
        clamd = Clamd(str(server.path), reply_seconds=0.3)
        server.freeze()
        try:
            with pytest.raises(DependencyDown, match="no answer within"):
                await clamd.scan(stream(b"a"))
            with pytest.raises(DependencyDown, match="no answer within 2 s"):
                await clamd.ping()
        finally:
            server.thaw()
        await clamd.ping()
        assert (await Clamd(str(server.path)).scan(stream(EICAR))).status == "infected"

    @pytest.mark.parametrize(
        "last",
        [
            b"",
            b"2: stream: OK",
            b"2: stream: O\0",
            b"2: stream: OK\n\0",
            b"2: stream:OK\0",
            b"2: OK\0",
            b"2: other: OK\0",
            b"2: stream: OK FOUND ERROR\0",
            b"2: stream: OK ERROR\0",
            b"2: Can't allocate memory ERROR\0",
            b"2: UNKNOWN COMMAND\0",
            b"2: \0",
            b"stream: OK\0",
            b"4: stream: OK\0",
            b"3: 2: stream: OK\0",
            b"\xff\xfe\0",
            b"x" * 200_000,
        ],
    )
    async def test_lies(self, tmp_path: Path, last: bytes) -> None:
        """Half a line, another line, an error, or no line at all is no verdict."""
        async with fake(tmp_path, b"1: ClamAV 1.4.6\0", last) as clamd:
            with pytest.raises(DependencyDown):
                await clamd.scan(stream(b"a" * 1000))

    async def test_truth(self, tmp_path: Path) -> None:
        """The fake that the lies are told by is believed when it tells the truth."""
        async with fake(tmp_path, b"1: ClamAV 1.4.6\0", b"2: stream: OK\0") as clamd:
            verdict = await clamd.scan(stream(b"a" * 1000))
        assert (verdict.status, verdict.version) == ("clean", ClamVersion("1.4.6"))
        assert verdict.version.signatures_at is None

    @pytest.mark.parametrize(
        ("date", "at"),
        [
            (b"Sun Nov  1 08:00:00 2026", datetime(2026, 11, 1, 8, tzinfo=UTC)),
            (b"Wed Feb 29 23:59:59 2028", datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)),
            (b"yesterday", None),
            (b"Sun Nov 31 08:00:00 2026", None),
        ],
    )
    async def test_date(self, tmp_path: Path, date: bytes, at: datetime | None) -> None:
        """A date is read as clamd writes it; what is none is no reason to have no verdict."""
        async with fake(tmp_path, b"1: ClamAV 1.4.6/27000/%s\0" % date, b"2: stream: OK\0") as clamd:
            verdict = await clamd.scan(stream(b"a" * 1000))
        assert (verdict.status, verdict.version.signatures) == ("clean", 27000)
        assert verdict.version.signatures_at == at

    async def test_answer_before_the_end(self, tmp_path: Path) -> None:
        """An OK that came before the stream's end isn't about the stream."""
        async with fake(tmp_path, b"1: ClamAV 1.4.6\0002: stream: OK\0") as clamd:
            with pytest.raises(DependencyDown, match="before the stream's end"):
                await clamd.scan(pieces(bytes(MIB)))

    async def test_hung_up_with_an_ok(self, tmp_path: Path) -> None:
        """A clamd that says OK and hangs up in the midst of a stream gives no verdict."""
        async with fake(tmp_path, b"1: ClamAV 1.4.6\0002: stream: OK\0", hang_up=True) as clamd:
            with pytest.raises(DependencyDown):
                await clamd.scan(pieces(bytes(8 * MIB)))

    async def test_no_version(self, tmp_path: Path) -> None:
        """A verdict that can't say who scanned is none."""
        async with fake(tmp_path, b"1: what?\0", b"2: stream: OK\0") as clamd:
            with pytest.raises(DependencyDown, match="to VERSION"):
                await clamd.scan(stream(b"a"))


def archive(files: dict[str, bytes]) -> bytes:
    """A zip of the files."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return output.getvalue()


def encrypted_archive() -> bytes:
    """A zip whose one member says in both its headers that it is encrypted (bit 0 of the general purpose flags)."""
    data = bytearray(archive({"secret.txt": os.urandom(500)}))
    directory = data.rindex(b"PK\x01\x02")
    for offset in (6, directory + 8):
        (flags,) = struct.unpack_from("<H", data, offset)
        struct.pack_into("<H", data, offset, flags | 1)
    return bytes(data)


@asynccontextmanager
async def fake(
    directory: Path, greeting: bytes, farewell: bytes = b"", *, hang_up: bool = False
) -> AsyncGenerator[Clamd]:
    """A clamd that says one thing when the stream begins, another when it has ended, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(3):
                await reader.readuntil(b"\0")
            writer.write(greeting)
            await writer.drain()
            while not hang_up and (length := int.from_bytes(await reader.readexactly(4), "big")):
                await reader.readexactly(length)
            writer.write(farewell)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    path = directory / "fake.sock"
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield Clamd(str(path), write_seconds=5, reply_seconds=5)
    finally:
        server.close()
        await server.wait_closed()
        path.unlink()


@asynccontextmanager
async def tcp_relay(path: Path) -> AsyncGenerator[str]:
    """A TCP port that leads to a Unix socket."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
