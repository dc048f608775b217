"""MinIO's notifications: what real ones say, and that what sweep says is read like them."""

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.bus import Stored
from infra.local.threaded import ThreadedStack
from schemas.notification import Notification
from tests.system import System, poll, provisioned

KEYS = (
    "temp/01a204b3-bd5e-70fe-a755-e77b96e2ca69",
    "temp/two words",
    "temp/plus+sign",
    "temp/100%2Fpercent",
    "temp/a/b/c",
    "temp/Grüße 🌊.pdf",
    "temp/ampersand&equals=question?hash#",
    "temp/'quote\"back\\slash~",
)


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack) as provided:
        yield provided


@pytest.mark.parametrize("key", KEYS)
async def test_real_notification_is_read(system: System, key: str) -> None:
    """Whatever the key, bucket, key, version and size are those of the object; so they are said again by sweep."""
    before = await system.bus.last("UPLOADS", ["minio.fast"])
    start = before[0].sequence + 1 if before else 1
    await system.objects.put(key, b"hello", content_type="text/plain")
    said = await poll(lambda: _said(system, start))
    found = Notification.parse(said.data)
    (entry,) = [entry async for entry in system.objects.list_versions(key) if entry.key == key][:1]
    assert (found.bucket, found.key, found.size) == (system.settings.bucket, key, 5)
    assert found.version_id == entry.version_id
    assert abs((found.time - entry.last_modified).total_seconds()) < 1
    escaped = json.loads(said.data)["Records"][0]["s3"]["object"]["key"]
    assert json.loads(found.payload())["Records"][0]["s3"]["object"]["key"].replace("/", "%2F") == escaped
    await system.objects.delete(key, entry.version_id)


async def _said(system: System, start: int) -> Stored | None:
    async for stored in system.bus.read("UPLOADS", ["minio.fast"], start=start):
        return stored
    return None


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=50),
    st.uuids().map(str),
    st.integers(0, 2**40),
    st.datetimes(timezones=st.just(UTC)),
)
def test_swept_notification_round_trips(key: str, version_id: str, size: int, time: datetime) -> None:
    """What sweep says of an object is read as exactly that."""
    said = Notification(bucket="tidegate", key=f"temp/{key}", version_id=version_id, size=size, time=time)
    assert Notification.parse(said.payload()) == said


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"Records":[]}', b'{"Records":[{}]}', b"\xff", b"null"])
def test_anything_else_is_refused(payload: bytes) -> None:
    """A message that is no notification of one object is an error that says so."""
    with pytest.raises(ValueError, match=r"."):
        Notification.parse(payload)
