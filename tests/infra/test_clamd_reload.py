"""Signatures come and go while files are scanned: no verdict is lost, wrong, or claims newer signatures than it had."""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime, timedelta

import pytest

from infra.clamd import Clamd
from tests.infra.servers import EICAR, ClamdServer, clamd_server, daily_database, reload

FIRST, SECOND = 27450, 27451
LATE = b"known as evil only later"
LATE_SIGNATURE = b"Late-Test-Signature:0:*:" + LATE.hex().encode() + b"\n"
MADE = datetime(2025, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Generator[ClamdServer]:
    """A clamd with a daily database."""
    with clamd_server(database={"daily.cud": daily_database(FIRST, MADE)}) as running:
        yield running


async def update(server: ClamdServer, version: int, made: datetime = MADE + timedelta(days=1)) -> None:
    """Do what freshclam does, and wait until clamd says that it has the new ones."""
    (server.signatures / "daily.cud").write_bytes(daily_database(version, made, LATE_SIGNATURE))
    await reload(server.path)
    clamd = Clamd(str(server.path))
    async with asyncio.timeout(20):
        while (await clamd.version()).signatures != version:
            pass  # each look is a round trip


async def stream(*chunks: bytes) -> AsyncGenerator[bytes]:
    """The chunks, one by one."""
    for chunk in chunks:
        yield chunk


async def test_verdicts_name_their_signatures(server: ClamdServer) -> None:
    """The daily database's number and date are in every verdict, and follow a reload."""
    clamd = Clamd(str(server.path))
    before = await clamd.scan(stream(LATE))
    assert (before.status, before.version.signatures) == ("clean", FIRST)
    assert before.version.signatures_at == MADE
    await update(server, SECOND)
    after = await clamd.scan(stream(LATE))
    assert (after.status, after.version.signatures) == ("infected", SECOND)
    assert after.version.signatures_at == MADE + timedelta(days=1)


@pytest.mark.parametrize("body", [os.urandom(100_000), EICAR, LATE], ids=["clean", "EICAR", "new"])
async def test_reload_in_the_midst_of_a_stream(server: ClamdServer, body: bytes) -> None:
    """What began under old signatures is judged by the new ones, and claims the old: less than was looked for."""

    async def slowly() -> AsyncGenerator[bytes]:
        yield body[:20]
        await update(server, SECOND)
        yield body[20:]

    verdict = await Clamd(str(server.path)).scan(slowly())
    assert verdict.status == ("clean" if body not in (EICAR, LATE) else "infected")
    assert verdict.size == len(body)
    assert verdict.version.signatures == FIRST


async def test_reloads_under_load(server: ClamdServer) -> None:
    """While signatures are loaded again and again every scan gets its verdict, and none the wrong one."""
    clamd, wrong, done = Clamd(str(server.path)), list[str](), 0

    async def scanning(number: int) -> None:
        nonlocal done
        while not updated.done():
            infected = (number + done) % 2 == 0
            verdict = await clamd.scan(stream(os.urandom(50_000), EICAR if infected else b"harmless"))
            done += 1
            if verdict.status != ("infected" if infected else "clean"):
                wrong.append(f"{verdict}")

    async def updating() -> None:
        for version in range(SECOND, SECOND + 8):
            await update(server, version)

    updated = asyncio.create_task(updating())
    await asyncio.gather(updated, *(scanning(number) for number in range(6)))
    assert wrong == []
    assert done > 8


async def test_an_update_that_cannot_be_loaded(server: ClamdServer) -> None:
    """Signatures that clamd can't read leave it with those it had, by their old date."""
    (server.signatures / "broken.ndb").write_bytes(b"nothing that is a signature\n")
    await reload(server.path)
    clamd = Clamd(str(server.path))
    async with asyncio.timeout(20):
        while "keeping the previous instance" not in server.log.read_text():
            await clamd.ping()
    verdict = await clamd.scan(stream(EICAR))
    assert (verdict.status, verdict.version.signatures) == ("infected", FIRST)
    assert (await clamd.scan(stream(os.urandom(1000)))).status == "clean"
