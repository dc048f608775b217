"""`scan`: nothing but ClamAV's OK for every byte of the object is clean."""

import hashlib
import secrets
from collections.abc import AsyncGenerator

import pytest

from events.errors import Reject
from functions.scan import scan
from infra.errors import Gone
from infra.local.threaded import ThreadedStack
from schemas.events import Quarantined, Scanned
from tests.functions.making import identified
from tests.functions.test_way_of_a_file import EICAR
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
