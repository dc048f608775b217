"""`promote`: exactly the version that was scanned, its checksum compared, as often as it is asked."""

from collections.abc import AsyncGenerator

import pytest

from functions.promote import ChecksumMismatch, promote
from infra.errors import Gone
from infra.local.threaded import ThreadedStack
from infra.objects import SOURCE_SHA256, SOURCE_VERSION
from tests.functions.making import probed
from tests.system import System, connected, context, provisioned

TEXT = b"Let me in."


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack) as provided:
        yield provided


async def test_twice_is_once(system: System) -> None:
    """Run again, before and after its source was discarded, it says the same of the same bytes."""
    event = await probed(system, TEXT)
    async with connected(system) as services:
        first = await promote(event, context(services))
        assert await promote(event, context(services)) == first
        await system.objects.delete(event.object.key, event.object.version_id)
        assert await promote(event, context(services)) == first
    assert first.original.key == f"permanent/{event.media.media_id}/original.txt"
    assert await system.objects.get(first.original) == TEXT
    info = await system.objects.head(first.original.key)
    assert info is not None
    assert info.content_type == "text/plain"
    assert info.metadata[SOURCE_VERSION] == event.object.version_id
    assert info.metadata[SOURCE_SHA256] == event.object.sha256


async def test_other_bytes_than_scanned(system: System) -> None:
    """Where MinIO's checksum isn't the scanned one nothing stays in permanent/."""
    event = await probed(system, TEXT, sha256="0" * 64)
    async with connected(system) as services:
        with pytest.raises(ChecksumMismatch):
            await promote(event, context(services))
    assert [entry async for entry in system.objects.list(f"permanent/{event.media.media_id}")] == []


async def test_promoted_object_has_other_bytes_than_scanned(system: System) -> None:
    """An original that a later scan found to be something else is not promoted again."""
    event = await probed(system, TEXT)
    async with connected(system) as services:
        await promote(event, context(services))
        await system.objects.delete(event.object.key, event.object.version_id)
        scanned = event.object.model_copy(update={"sha256": "0" * 64})
        with pytest.raises(ChecksumMismatch):
            await promote(event.model_copy(update={"object": scanned}), context(services))


async def test_nothing_to_promote(system: System) -> None:
    """Without a source, and with an original made from another version, there are no bytes."""
    event = await probed(system, TEXT)
    await system.objects.delete(event.object.key, event.object.version_id)
    await system.objects.put(
        f"permanent/{event.media.media_id}/original.txt",
        TEXT,
        content_type="text/plain",
        metadata={SOURCE_VERSION: "another", SOURCE_SHA256: f"{event.object.sha256}"},
    )
    async with connected(system) as services:
        with pytest.raises(Gone):
            await promote(event, context(services))
