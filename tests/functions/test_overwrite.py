"""A form can overwrite its key until it expires: whenever it does, what is promoted is exactly what was scanned.

Nor does anything else get in where somebody may write the same version again, which MinIO's policies hardly forbid.
"""

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from events.dead import letters
from functions.promote import promote
from functions.scan import scan
from infra.context import Context
from infra.local.threaded import ThreadedStack
from infra.presign import PostForm, PresignedPut, Presigner
from schemas.document import CloudEvent, event_name
from schemas.events import Identified, Probed
from schemas.objects import ObjectRef
from schemas.subjects import temp_key
from tests.functions.test_way_of_a_file import EICAR
from tests.system import System, poll, provisioned, working

# Two texts with one MD5, found by Marc Stevens.
FIRST = b"TEXTCOLLBYfGiJUETHQ4hAcKSMd5zYpgqf1YRDhkmxHkhPWptrkoyz28wnI9V0aHeAuaKnak"
SECOND = b"TEXTCOLLBYfGiJUETHQ4hEcKSMd5zYpgqf1YRDhkmxHkhPWptrkoyz28wnI9V0aHeAuaKnak"

PAGE = b"<html><script>alert(1)</script>".ljust(len(FIRST))
WAY = {"uploaded": "receive", "identified": "identify", "scanned": "scan", "probed": "probe"}

OTHERS = pytest.mark.parametrize("other", [SECOND, EICAR, b"longer " + FIRST], ids=["collides", "eicar", "longer"])


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works yet."""
    async with provisioned(stack) as provided:
        yield provided


def test_texts_collide() -> None:
    """The two texts have one MD5, so one ETag and one size, and yet two SHA-256."""
    assert hashlib.md5(FIRST, usedforsecurity=False).digest() == hashlib.md5(SECOND, usedforsecurity=False).digest()
    assert len(FIRST) == len(SECOND)
    assert hashlib.sha256(FIRST).digest() != hashlib.sha256(SECOND).digest()


async def uploaded_form(system: System) -> tuple[str, PresignedPut | PostForm]:
    """A first upload through a form, and the form, good for more."""
    media_id, form = await system.request(FIRST, "text/plain", form=True)
    assert await system.send(form, FIRST) == 204
    return media_id, form


async def outcome(system: System, media_id: str, losers: int = 1) -> None:
    """The first version is what was promoted, once; every other is overwritten, discarded and nowhere."""

    async def settled() -> bool:
        events = await system.events(media_id)
        discarded = {event["part"] for event in events if event_name(event) == "discarded"}
        return len(discarded) == losers + 1 and any(event_name(event) == "ready" for event in events)

    await poll(settled)
    events = await system.events(media_id)
    assert len(_ids(events, "promoted")) == len(_ids(events, "uploaded")) == 1
    assert len(_ids(events, "overwritten")) == losers
    promoted = next(event["data"] for event in events if event_name(event) == "promoted")
    scanned = next(event["data"] for event in events if event_name(event) == "scanned")
    content = await system.objects.get(ObjectRef.model_validate(promoted["original"]))
    assert content == FIRST
    assert hashlib.sha256(content).hexdigest() == scanned["verdict"]["sha256"] == promoted["original"]["sha256"]
    assert [entry async for entry in system.objects.list_versions(temp_key(media_id))] == []
    assert not [entry async for entry in system.objects.list(f"quarantine/{media_id}")]


def _ids(events: list[CloudEvent], name: str) -> set[str]:
    return {event["id"] for event in events if event_name(event) == name}


@OTHERS
async def test_before_receive(system: System, other: bytes) -> None:
    """Overwritten before anybody looked, the version that came first is the media."""
    media_id, form = await uploaded_form(system)
    assert await system.send(form, other) == 204
    async with working(system):
        await outcome(system, media_id)


@OTHERS
@pytest.mark.parametrize("until", ["uploaded", "identified", "scanned", "probed"])
async def test_between_two_functions(system: System, other: bytes, until: str) -> None:
    """Overwritten after any function and before the next, the rest of the way sees the first version alone."""
    media_id, form = await uploaded_form(system)
    names = list(WAY.values())[: list(WAY).index(until) + 1]
    async with working(system, names):
        await system.happens(media_id, until)
    assert await system.send(form, other) == 204
    async with working(system):
        await outcome(system, media_id)


@OTHERS
async def test_during_scan_and_promote(system: System, other: bytes) -> None:
    """Overwritten as scanning begins and again just before MinIO copies, only what was scanned is promoted."""
    media_id, form = await uploaded_form(system)

    async def overwritten_while_scanned(event: Identified, ctx: Context) -> Any:
        if event.media.media_id == media_id:
            assert await system.send(form, other) == 204
        return await scan(event, ctx)

    async def overwritten_while_promoted(event: Probed, ctx: Context) -> Any:
        if event.media.media_id == media_id:
            assert await system.send(form, other[::-1]) == 204
        return await promote(event, ctx)

    async with working(system, handlers={"scan": overwritten_while_scanned, "promote": overwritten_while_promoted}):
        await outcome(system, media_id, losers=2)


async def test_after_promotion(system: System) -> None:
    """A form that is used again after promotion changes nothing."""
    async with working(system):
        media_id, form = await uploaded_form(system)
        await system.ended(media_id)
        assert await system.send(form, SECOND) == 204
        await outcome(system, media_id)


async def write_again(system: System, media_id: str, version: str, body: bytes) -> None:
    """Replace the bytes of a version under its own id, with an operator's rights since clients have none to do it."""
    key = temp_key(media_id)
    form = Presigner.downloads(system.settings).post_policy(
        key, content_type="text/plain", least=0, most=1000, expires=60
    )
    assert await system.send(replace(form, url=f"{form.url}?versionId={version}"), body) == 204
    assert await system.objects.get(await _version(system, media_id)) == body


@pytest.mark.parametrize(
    ("until", "other", "state"),
    [
        ("uploaded", PAGE, "rejected"),
        ("uploaded", EICAR, "quarantined"),
        ("identified", SECOND, "ready"),
        ("identified", PAGE, "rejected"),
        ("identified", EICAR, "quarantined"),
        ("identified", b"longer " + FIRST, "rejected"),
        ("scanned", SECOND, "rejected"),
        ("scanned", PAGE, "rejected"),
        ("scanned", EICAR, "rejected"),
        ("scanned", b"longer " + FIRST, "rejected"),
        ("probed", SECOND, "rejected"),
        ("probed", PAGE, "rejected"),
        ("probed", EICAR, "rejected"),
        ("probed", b"longer " + FIRST, "rejected"),
    ],
)
async def test_same_version_written_again(system: System, until: str, other: bytes, state: str) -> None:
    """A version that holds other bytes than before is rejected, unless the same bytes pass every later step."""
    media_id, _ = await uploaded_form(system)
    async with working(system, list(WAY.values())[: list(WAY).index(until) + 1]):
        await system.happens(media_id, until)
    version = (await _version(system, media_id)).version_id
    assert version is not None
    await write_again(system, media_id, version, other)
    original = f"permanent/{media_id}/original.txt"
    places = {"ready": {original}, "quarantined": {f"quarantine/{media_id}"}, "rejected": set[str]()}
    async with working(system):
        ended = await system.ended(media_id)
        await poll(lambda: _only(system, media_id, {*places[state], f"records/{media_id}.json"}))
    assert event_name(ended) == state
    if state == "rejected" and until != "uploaded":
        assert ended["data"]["code"] == "changed"
    if state == "ready":
        promoted = await system.happens(media_id, "promoted")
        content = await system.objects.get(ObjectRef.model_validate(promoted["data"]["original"]))
        assert hashlib.sha256(content).hexdigest() == promoted["data"]["verdict"]["sha256"]
    assert not [letter async for _, letter in letters(system.bus) if letter.about == media_id]


@pytest.mark.parametrize("other", [SECOND, PAGE, b"longer " + EICAR], ids=["collides", "page", "longer eicar"])
@pytest.mark.parametrize("function", ["identify", "scan", "probe", "promote"])
async def test_same_version_written_again_after_ready(system: System, function: str, other: bytes) -> None:
    """Replayed when its temp version has come back with other bytes, a file is what was promoted once.

    What came back is removed.
    """
    async with working(system):
        media_id, _ = await uploaded_form(system)
        before = await system.happens(media_id, "promoted")
        await system.ended(media_id)
        await write_again(system, media_id, before["data"]["object"]["version_id"], other)
        source = {"identify": "uploaded", "scan": "identified", "probe": "scanned", "promote": "probed"}[function]
        run = await system.replay(function, await system.happens(media_id, source))
        again = await system.happens(media_id, "promoted", run)
        assert again["data"]["original"] == before["data"]["original"]
        assert again["data"]["verdict"]["sha256"] == hashlib.sha256(FIRST).hexdigest()
        wanted = {f"permanent/{media_id}/original.txt", f"records/{media_id}.json"}
        await poll(lambda: _only(system, media_id, wanted))
        assert await system.objects.get(ObjectRef.model_validate(before["data"]["original"])) == FIRST
        await poll(lambda: _is(system, media_id, "ready"))
    assert not [letter async for _, letter in letters(system.bus) if letter.about == media_id]


@pytest.mark.parametrize("other", [SECOND, b"longer " + EICAR], ids=["clean", "longer"])
async def test_same_version_written_again_after_it_was_condemned(system: System, other: bytes) -> None:
    """Swapped between the verdict and its execution, what lies there is quarantined all the same, and nothing waits."""
    media_id, form = await system.request(EICAR, "text/plain", form=True)
    assert await system.send(form, EICAR) == 204
    async with working(system, ["receive", "identify", "scan"]):
        await system.happens(media_id, "quarantined")
    version = (await _version(system, media_id)).version_id
    assert version is not None
    await write_again(system, media_id, version, other)
    async with working(system):
        await poll(lambda: _only(system, media_id, {f"quarantine/{media_id}", f"records/{media_id}.json"}))
        await poll(lambda: _is(system, media_id, "quarantined"))
    assert not [letter async for _, letter in letters(system.bus) if letter.about == media_id]


async def test_infected_first_version_is_not_saved_by_a_clean_second(system: System) -> None:
    """The first version is the media: infected, it is quarantined, and a clean one behind it is discarded."""
    media_id, form = await system.request(EICAR, "text/plain", form=True)
    assert await system.send(form, EICAR) == 204
    assert await system.send(form, FIRST) == 204
    async with working(system):
        assert event_name(await system.ended(media_id)) == "quarantined"
        await system.happens(media_id, "overwritten")
        await poll(lambda: _only(system, media_id, {f"quarantine/{media_id}", f"records/{media_id}.json"}))
        kept = ObjectRef(bucket=system.settings.bucket, key=f"quarantine/{media_id}", size=0)
        assert await system.objects.get(kept) == EICAR
        assert (await system.fold(media_id)).state() == "quarantined"


async def test_second_put_is_refused(system: System) -> None:
    """A presigned PUT is good once: the second is answered 412 and makes no version."""
    media_id, put = await system.request(FIRST, "text/plain")
    assert await system.send(put, FIRST) == 200
    assert await system.send(put, SECOND) == 412
    versions = [entry async for entry in system.objects.list_versions(temp_key(media_id))]
    assert len(versions) == 1


async def test_put_after_the_first_was_discarded_is_overwritten(system: System) -> None:
    """Once the first version is discarded MinIO takes a second PUT; it loses all the same."""
    async with working(system):
        media_id, put = await system.request(FIRST, "text/plain")
        assert await system.send(put, FIRST) == 200
        await system.ended(media_id)
        assert await system.send(put, SECOND) == 200
        await outcome(system, media_id)


async def _only(system: System, media_id: str, keys: set[str]) -> bool:
    return set(await system.keys(media_id)) == keys


async def _is(system: System, media_id: str, state: str) -> bool:
    return (await system.fold(media_id)).state() == state


async def _version(system: System, media_id: str) -> ObjectRef:
    """The one version that a media has in temp/."""
    key = temp_key(media_id)
    (entry,) = [entry async for entry in system.objects.list_versions(key)]
    return ObjectRef(bucket=system.settings.bucket, key=key, version_id=entry.version_id, size=entry.size)
