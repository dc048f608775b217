"""Replays: a new run replaces what it touches, condemns what newer signatures find, and brings nothing back."""

import secrets
from collections.abc import AsyncGenerator

import pytest

from events.envelope import HEADERS, begin
from events.lanes import function_of
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from schemas.events import Deleted
from schemas.media import Media
from schemas.objects import ObjectRef
from schemas.subjects import Subject, temp_key
from tests.samples.documents import pdf
from tests.system import System, condemn, poll, provisioned, working

HARMLESS = b"Nothing to see here."


@pytest.fixture
async def system(spare_stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack whose clamd learns new signatures."""
    async with provisioned(spare_stack) as provided:
        yield provided


async def ready(system: System, body: bytes = HARMLESS, content_type: str = "text/plain") -> str:
    """Upload a file that becomes ready."""
    media_id = await system.upload(body, content_type)
    assert event_name(await system.ended(media_id)) == "ready"
    return media_id


async def delete(system: System, media_id: str) -> None:
    """Do what the gateway does when an owner deletes a media."""
    requested = await system.happens(media_id, "requested")
    event = Deleted(media=Media.model_validate(requested["data"]["media"]), deleted_by="alice")
    envelope = begin(event, event_id=f"deleted/{media_id}", source="gateway", lane="standard")
    subject = Subject("deleted", "unknown", "standard", media_id, "0", "gateway")
    await system.bus.publish(str(subject), envelope.encode(), message_id=envelope.id, headers=HEADERS)


async def only(system: System, media_id: str, *prefixes: str) -> None:
    """Wait until nothing of a media is left but its objects under these prefixes."""

    async def left() -> bool:
        return sorted(key.partition("/")[0] for key in await system.keys(media_id)) == sorted(prefixes)

    await poll(left)


async def test_new_signatures_condemn_a_ready_file(system: System) -> None:
    """Scanned again and found infected, a file is quarantined: nothing in permanent/, all of it in quarantine/."""
    body = b"Not known as evil yet: " + secrets.token_hex(12).encode()
    async with working(system):
        media_id = await ready(system, body)
        original = (await system.happens(media_id, "promoted"))["data"]["original"]
        await condemn(system.stack, body)
        run = await system.replay("scan", await system.happens(media_id, "identified"))
        quarantined = await system.happens(media_id, "quarantined", run)
        assert quarantined["replayname"] == "again"
        assert quarantined["data"]["object"]["sha256"] == original["sha256"]
        discarded = await system.happens(media_id, "discarded", run)
        assert original["key"] in {gone["key"] for gone in discarded["data"]["objects"]}
        await only(system, media_id, "quarantine", "records")
        kept = ObjectRef.model_validate(discarded["data"]["moved_to"])
        assert await system.objects.get(kept) == body
        fold = await system.fold(media_id)
        assert fold.state() == "quarantined"

        # The discard dies after it has moved everything, and comes again.
        await system.replay("discard", quarantined, run=run)
        await _worked(system, "discard")
        again = [event for event in await system.events(media_id) if event_name(event) == "discarded"]
        assert again[-1]["data"]["moved_to"]["key"] == kept.key
        assert [letter async for letter in system.bus.read("DEAD", [f"dead.*.{media_id}"])] == []
        await only(system, media_id, "quarantine", "records")


async def test_what_comes_after_the_condemnation_is_removed(system: System) -> None:
    """A product that is written late, and a promotion that comes late, leave nothing of a condemned file either."""
    body = b"Not known as evil yet: " + secrets.token_hex(12).encode()
    async with working(system):
        media_id = await ready(system, body)
        promoted = await system.happens(media_id, "promoted")
        key = promoted["data"]["original"]["key"]
        await condemn(system.stack, body)
        run = await system.replay("scan", await system.happens(media_id, "identified"))
        await system.happens(media_id, "discarded", run)
        await only(system, media_id, "quarantine", "records")
        # As if a promote of before had copied again, and a function had been at work on a product meanwhile.
        source = promoted["data"]["object"]
        metadata = {"tidegate-source-version": source["version_id"], "tidegate-sha256": source["sha256"]}
        await system.objects.put(key, body, content_type="text/plain", metadata=metadata)
        await system.objects.put(f"permanent/{media_id}/page-1.webp", b"late", content_type="image/webp")
        late = await system.replay("promote", await system.happens(media_id, "probed"))
        await system.happens(media_id, "discarded", late)
        await only(system, media_id, "quarantine", "records")
        assert (await system.fold(media_id)).state() == "quarantined"


async def test_replayed_scan_goes_all_the_way(system: System) -> None:
    """A replayed scan of a promoted file reads the original, and each function after it speaks in the new run."""
    async with working(system):
        media_id = await ready(system, pdf(), "application/pdf")
        before = await system.fold(media_id)
        run = await system.replay("scan", await system.happens(media_id, "identified"))
        await system.happens(media_id, "ready", run)
        await system.happens(media_id, "discarded", run)
        after = await system.fold(media_id)
        runs = {part: event["run"] for part, event in after.cells.items()}
        touched = {"scan", "probe", "promote", "finish", "discard-promoted"}
        assert runs == {part: run if part in touched else "0" for part in before.cells}
        assert after.state() == "ready"
        assert after.cells["promote"]["data"]["original"] == before.cells["promote"]["data"]["original"]
        await only(system, media_id, "permanent", "records")


async def test_replayed_promote_says_promoted_again(system: System) -> None:
    """Promoting what is promoted changes no byte and is said in the new run, with the same original."""
    async with working(system):
        media_id = await ready(system)
        probed = await system.happens(media_id, "probed")
        first = await system.happens(media_id, "promoted")
        again = await system.happens(media_id, "promoted", await system.replay("promote", probed))
        assert again["data"]["original"] == first["data"]["original"]
        assert again["id"] != first["id"]
        assert await system.objects.get(ObjectRef.model_validate(again["data"]["original"])) == HARMLESS


async def test_gone_object_fails_an_unfinished_media(system: System) -> None:
    """An upload whose bytes vanish before they are scanned has failed, and says so."""
    async with working(system, ["receive", "identify", "record"]):
        media_id = await system.upload(HARMLESS, "text/plain")
        identified = await system.happens(media_id, "identified")
    await system.objects.delete(temp_key(media_id), identified["data"]["object"]["version_id"])
    async with working(system):
        failed = await system.happens(media_id, "failed")
        assert (failed["data"]["code"], failed["part"]) == ("gone", "scan")
        assert (await system.fold(media_id)).state() == "failed"


async def test_gone_object_of_an_ended_media_is_silent(system: System) -> None:
    """Replayed on a media that was rejected and discarded, a function finds no bytes and says nothing."""
    async with working(system):
        media_id = await system.upload(b"\x7fELF" + bytes(50), "text/plain")
        assert event_name(await system.ended(media_id)) == "rejected"
        run = await system.replay("identify", await system.happens(media_id, "uploaded"))
        await _worked(system, "identify")
        assert [event for event in await system.events(media_id) if event["run"] == run] == []


async def test_gone_object_of_an_abandoned_media_fails(system: System) -> None:
    """A media that was abandoned, came late and lost its bytes has not ended: it has failed."""
    media_id, put = await system.request(HARMLESS, "text/plain")
    async with working(system, ["sweep", "receive", "identify"], abandoned_after_seconds=-3600.0):
        await system.tick()
        await system.happens(media_id, "abandoned")
        assert await system.send(put, HARMLESS) == 200
        identified = await system.happens(media_id, "identified")
    await system.objects.delete(temp_key(media_id), identified["data"]["object"]["version_id"])
    async with working(system):
        assert (await system.happens(media_id, "failed"))["data"]["code"] == "gone"
        assert (await system.fold(media_id)).state() == "failed"


async def test_late_promotion_of_a_deleted_media_is_removed(system: System) -> None:
    """Deleted while it is on its way, a file is promoted for a moment at most."""
    async with working(system, ["receive", "identify", "scan", "probe"]):
        media_id = await system.upload(HARMLESS, "text/plain")
        await system.happens(media_id, "probed")
    async with working(system, ["promote"]):
        await system.happens(media_id, "promoted")
    await delete(system, media_id)
    async with working(system):
        await _all_discarded(system, media_id, {"discard-promoted", "discard-deleted"})
        await only(system, media_id, "records")
        assert (await system.fold(media_id)).state() == "deleted"


async def test_promotion_after_deletion_is_removed(system: System) -> None:
    """A promotion that comes when everything was deleted leaves nothing behind either."""
    async with working(system, ["receive", "identify", "scan", "probe", "discard"]):
        media_id = await system.upload(HARMLESS, "text/plain")
        probed = await system.happens(media_id, "probed")
        await delete(system, media_id)
        await _all_discarded(system, media_id, {"discard-deleted"})
    # As if promote had copied before the deletion, died, and only now can say so.
    key = f"permanent/{media_id}/original.txt"
    source = probed["data"]["object"]
    metadata = {"tidegate-source-version": source["version_id"], "tidegate-sha256": source["sha256"]}
    await system.objects.put(key, HARMLESS, content_type="text/plain", metadata=metadata)
    async with working(system):
        await _all_discarded(system, media_id, {"discard-deleted", "discard-promoted"})
        await only(system, media_id, "records")
        assert (await system.fold(media_id)).state() == "deleted"


async def test_deleted_before_it_came(system: System) -> None:
    """A media that is deleted before its upload arrives stays deleted and leaves nothing."""
    media_id, put = await system.request(HARMLESS, "text/plain")
    await delete(system, media_id)
    assert await system.send(put, HARMLESS) == 200
    async with working(system):
        await only(system, media_id, "records")
        assert (await system.fold(media_id)).state() == "deleted"


async def _all_discarded(system: System, media_id: str, parts: set[str]) -> None:
    async def done() -> bool:
        return {e["part"] for e in await system.events(media_id) if event_name(e) == "discarded"} >= parts

    await poll(done)


async def _worked(system: System, function: str) -> None:
    """Wait until a function has nothing left to do."""

    async def idle() -> bool:
        standing = [state for state in await system.bus.state("MEDIA") if function_of(state.name) == function]
        return bool(standing) and not any(state.pending or state.unacknowledged for state in standing)

    await poll(idle)
