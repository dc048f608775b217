"""`scan`: nothing but ClamAV's OK for every byte of the object is clean."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from events.errors import Reject
from functions.scan import scan
from infra.errors import Gone
from infra.local.threaded import ThreadedStack
from schemas.events import Quarantined, Scanned
from schemas.media import Identity
from tests.functions.making import identified
from tests.functions.test_way_of_a_file import EICAR
from tests.infra.servers import clamd_server, daily_database
from tests.samples.archives import ENCRYPTED, docx, nested, zipped
from tests.samples.documents import encrypted_pdf
from tests.system import System, connected, context, provisioned


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack) as provided:
        yield provided


async def test_clean(system: System) -> None:
    """Clean bytes carry their SHA-256, how many were scanned, by which engine, with which signatures."""
    body = secrets.token_hex(200_000).encode()
    event = await identified(system, body)
    async with connected(system) as services:
        scanned = await scan(event, context(services))
    assert isinstance(scanned, Scanned)
    assert scanned.verdict.bytes_scanned == scanned.object.size == len(body)
    assert scanned.object.sha256 == scanned.verdict.sha256 == hashlib.sha256(body).hexdigest()
    assert scanned.object.version_id == event.object.version_id
    assert "test" in scanned.verdict.signatures


async def test_infected(system: System) -> None:
    """A finding is quarantined with the name of the signature, wherever in the file it lies."""
    event = await identified(system, b"x" * 70_000 + b"TIDEGATE-TEST-SIGNATURE" + b"x" * 70_000)
    async with connected(system) as services:
        found = await scan(event, context(services))
    assert isinstance(found, Quarantined)
    assert found.verdict.status == "infected"
    assert "Tidegate-Test-Signature" in f"{found.verdict.signature}"
    assert found.object.sha256 == found.verdict.sha256


WORD = Identity(
    kind="document",
    content_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    extension="docx",
)


async def test_a_document_that_holds_files(system: System) -> None:
    """A Word document is clean as it was made, not with a virus in it, however deep, nor where nobody can look."""
    verdicts: dict[str, str] = {}
    made = {
        "plain": docx(),
        "zip": docx({"word/embeddings/file.zip": zipped({"harmless.txt": b"harmless"})}),
        "eicar": docx({"word/embeddings/oleObject1.bin": EICAR}),
        "eicar in a zip": docx({"word/embeddings/file.zip": zipped({"eicar.txt": EICAR})}),
        "eicar in five zips": docx({"word/embeddings/file.zip": nested(5, EICAR)}),
        "encrypted": docx({"word/embeddings/file.zip": ENCRYPTED["zip, AES"]}),
        "eicar too deep": docx({"word/embeddings/file.zip": nested(30, EICAR)}),
    }
    async with connected(system) as services:
        for name, body in made.items():
            try:
                found = await scan(await identified(system, body, WORD), context(services))
            except Reject as refusal:
                verdicts[name] = refusal.code
            else:
                verdicts[name] = found.event
    assert verdicts == {
        "plain": "scanned",
        "zip": "scanned",
        "eicar": "quarantined",
        "eicar in a zip": "quarantined",
        "eicar in five zips": "quarantined",
        "encrypted": "unscannable",
        "eicar too deep": "unscannable",
    }


async def test_chunks(system: System, stack: ThreadedStack, tmp_path: Path) -> None:
    """clamd is sent the file in pieces of 64 KiB or more, but for the last."""  # noqa: D403 - its name is in lower case
    body = secrets.token_bytes(1_000_000)
    event = await identified(system, body)
    async with (
        overheard(stack.info.clamd_socket, tmp_path / "c") as lengths,
        connected(system, clamd_socket=str(tmp_path / "c")) as services,
    ):
        assert isinstance(await scan(event, context(services)), Scanned)
    assert sum(lengths) == len(body)
    assert min(lengths[:-1]) >= 64 * 1024


@asynccontextmanager
async def overheard(clamd: Path, path: Path) -> AsyncGenerator[list[int]]:
    """A socket that leads to a clamd's; the lengths of a stream's chunks."""
    lengths: list[int] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, there = await asyncio.open_unix_connection(clamd)
        answering = asyncio.create_task(forward(answers, writer))
        for _ in range(3):
            there.write(await reader.readuntil(b"\0"))
        while length := int.from_bytes(head := await reader.readexactly(4), "big"):
            lengths.append(length)
            there.write(head + await reader.readexactly(length))
            await there.drain()
        there.write(bytes(4))
        await forward(reader, there)
        await answering
        there.close()
        writer.close()

    server = await asyncio.start_unix_server(serve, path, limit=2**20)
    try:
        yield lengths
    finally:
        server.close()
        await server.wait_closed()


async def test_signatures_with_a_date(system: System) -> None:
    """The verdict and a metric say of which day the daily database is, so that what is old is seen."""
    made = datetime(2025, 11, 22, 12, tzinfo=UTC)
    event = await identified(system, b"clean")
    with clamd_server(database={"daily.cud": daily_database(27450, made)}) as server:
        async with connected(system, clamd_socket=str(server.path)) as services:
            scanned = await scan(event, context(services))
    assert isinstance(scanned, Scanned)
    assert (scanned.verdict.signatures, scanned.verdict.signatures_at) == ("27450", made)
    assert REGISTRY.get_sample_value("tidegate_signatures_timestamp_seconds") == made.timestamp()


async def test_unscannable_by_policy(system: System) -> None:
    """What ClamAV can't look into is rejected, or quarantined where the policy says so; never scanned."""
    event = await identified(system, encrypted_pdf())
    async with connected(system) as services:
        with pytest.raises(Reject) as refusal:
            await scan(event, context(services))
        assert refusal.value.code == "unscannable"
    async with connected(system, unscannable="quarantine") as services:
        found = await scan(event, context(services))
    assert isinstance(found, Quarantined)
    assert found.verdict.status == "unscannable"


async def test_fewer_bytes_than_there_are(system: System) -> None:
    """A scan of other than all the bytes that were announced is no scan."""
    event = await identified(system, b"short")
    larger = event.model_copy(update={"object": event.object.model_copy(update={"size": 6})})
    async with connected(system) as services:
        with pytest.raises(Reject, match="changed"):
            await scan(larger, context(services))


async def test_nothing_to_scan(system: System) -> None:
    """A version that isn't there is gone, not clean."""
    event = await identified(system, EICAR)
    await system.objects.delete(event.object.key, event.object.version_id)
    async with connected(system) as services:
        with pytest.raises(Gone):
            await scan(event, context(services))


async def test_signatures_without_a_name(system: System) -> None:
    """Where neither clamd nor the settings name the signatures, the verdict says so, and the file goes its way."""
    event = await identified(system, b"clean")
    async with connected(system, signatures_label="") as services:
        scanned = await scan(event, context(services))
    assert isinstance(scanned, Scanned)
    assert scanned.verdict.signatures == "unversioned"
