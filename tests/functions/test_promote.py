"""`promote`: exactly the version that was scanned, its checksum compared, as often as it is asked."""

from collections.abc import AsyncGenerator

import pytest

from events.errors import Reject
from functions.promote import Occupied, promote
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
        with pytest.raises(Reject, match="changed"):
            await promote(event, context(services))
    assert [entry async for entry in system.objects.list(f"permanent/{event.media.media_id}")] == []


async def test_promoted_object_has_other_bytes_than_scanned(system: System) -> None:
    """An original that a later scan found to be something else is not promoted again."""
    event = await probed(system, TEXT)
    async with connected(system) as services:
        await promote(event, context(services))
        await system.objects.delete(event.object.key, event.object.version_id)
        scanned = event.object.model_copy(update={"sha256": "0" * 64})
        with pytest.raises(Reject, match="changed"):
            await promote(event.model_copy(update={"object": scanned}), context(services))
    assert await system.objects.head(f"permanent/{event.media.media_id}/original.txt") is not None


async def test_copy_whose_maker_died_before_it_looked(system: System) -> None:
    """A copy that isn't what its metadata says was made by somebody who was killed: it is taken back, not believed."""
    event = await probed(system, TEXT)
    other = await probed(system, TEXT[::-1])
    key = f"permanent/{event.media.media_id}/original.txt"
    metadata = {SOURCE_VERSION: f"{event.object.version_id}", SOURCE_SHA256: f"{event.object.sha256}"}
    await system.objects.copy(other.object, key, content_type="text/plain", metadata=metadata)
    async with connected(system) as services:
        with pytest.raises(Reject, match="changed"):
            await promote(event, context(services))
    assert await system.objects.head(key) is None


async def test_original_of_another_version_is_left_alone(system: System) -> None:
    """What another version was promoted to is neither replaced nor taken for this one's."""
    event = await probed(system, TEXT)
    key = f"permanent/{event.media.media_id}/original.txt"
    metadata = {SOURCE_VERSION: "another", SOURCE_SHA256: f"{event.object.sha256}"}
    await system.objects.put(key, b"Another.", content_type="text/plain", metadata=metadata)
    async with connected(system) as services:
        with pytest.raises(Occupied):
            await promote(event, context(services))
    info = await system.objects.head(key)
    assert info is not None
    assert info.size == len(b"Another.")


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
