"""The way of a file, from a presigned PUT to where it ends, on real servers."""

import hashlib
from collections.abc import Awaitable
from itertools import pairwise

from infra.local.threaded import ThreadedStack
from schemas.document import Fold, event_name
from schemas.events import Promoted, Quarantined, Rejected
from schemas.objects import ObjectRef
from tests.samples.documents import encrypted_pdf, pdf, truncated_pdf, unique_pdf
from tests.system import System, poll, provisioned, working

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"

WAY = ["requested", "uploaded", "identified", "scanned", "probed", "promoted"]


async def test_pdf_is_promoted_and_ready(stack: ThreadedStack) -> None:
    """A PDF goes all the way; what is in permanent/ is what was uploaded, and temp/ is empty."""
    body = unique_pdf(1)
    async with provisioned(stack) as system, working(system) as work:
        media_id = await system.upload(body)
        assert event_name(await system.ended(media_id)) == "ready"

        events = await system.events(media_id)
        names = [event_name(event) for event in events]
        assert names[:6] == WAY
        assert sorted(names[6:]) == ["discarded", "ready"]
        promoted = Promoted.model_validate(events[5]["data"])
        assert promoted.original.sha256 == hashlib.sha256(body).hexdigest()
        assert await system.objects.get(promoted.original) == body
        assert (await poll(lambda: system.keys(media_id))) is not None
        fold = await system.fold(media_id)
        stored = await poll(lambda: _recorded(work.services.documents.get(media_id), fold.digest()))
        assert stored.state() == "ready"
        await poll(lambda: _has(system.keys(media_id), {promoted.original.key, f"records/{media_id}.json"}))
        await poll(lambda: _is_on_record(system, fold))


async def test_ids_name_their_cause(stack: ThreadedStack) -> None:
    """Each event names the event it follows from and shares its trace; its lane and run go along."""
    async with provisioned(stack) as system, working(system):
        media_id = await system.upload(pdf())
        await system.ended(media_id)
        events = await system.events(media_id)
    by_name = {event_name(event): event for event in events}
    for cause, effect in pairwise(WAY):
        assert by_name[effect]["causationid"] == by_name[cause]["id"]
    assert len({event["traceparent"].split("-")[1] for event in events}) == 1
    assert {(event["lane"], event["run"]) for event in events} == {("standard", "0")}
    assert len({event["id"] for event in events}) == len(events)


async def test_plain_text_is_ready(stack: ThreadedStack) -> None:
    """A plain text is promoted as .txt."""
    async with provisioned(stack) as system, working(system):
        media_id = await system.upload("Grüße\n".encode(), "text/plain; charset=utf-8")
        ready = await system.ended(media_id)
    assert event_name(ready) == "ready"
    assert ready["data"]["original"]["key"] == f"permanent/{media_id}/original.txt"


async def test_eicar_is_quarantined(stack: ThreadedStack) -> None:
    """EICAR ends in quarantine/, where only operators read, and nowhere else."""
    async with provisioned(stack) as system, working(system):
        media_id = await system.upload(EICAR, "text/plain")
        terminal = await system.ended(media_id)
        quarantined = Quarantined.model_validate(terminal["data"])
        assert "test" in quarantined.verdict.signatures
        await poll(lambda: _has(system.keys(media_id), {f"quarantine/{media_id}", f"records/{media_id}.json"}))
        kept = ObjectRef(bucket=system.settings.bucket, key=f"quarantine/{media_id}", size=0)
        assert await system.objects.get(kept) == EICAR


async def test_refused_files_say_why_and_leave_nothing(stack: ThreadedStack) -> None:
    """Whatever can't come in is rejected with a code and a sentence, and its bytes are deleted."""
    cases = {
        "type_refused": (b"\x7fELF\x02\x01\x01" + bytes(200), "application/pdf"),
        "type_mismatch": (pdf(), "text/plain"),
        "truncated": (truncated_pdf(), "application/pdf"),
        "encrypted": (encrypted_pdf(), "application/pdf"),
        "empty": (b"", "text/plain"),
    }
    async with provisioned(stack) as system, working(system):
        for code, (body, content_type) in cases.items():
            media_id = await system.upload(body, content_type)
            rejected = Rejected.model_validate((await system.ended(media_id))["data"])
            # clamd may refuse an encrypted document before the probe can say why.
            assert rejected.code in ({code, "unscannable"} if code == "encrypted" else {code})
            assert rejected.reason.rstrip(")").endswith(".")
            await poll(lambda media_id=media_id: _has(system.keys(media_id), {f"records/{media_id}.json"}))


async def test_foreign_object_is_rejected_and_deleted(stack: ThreadedStack) -> None:
    """An object that nobody requested is rejected and removed, wherever under temp/ it lies."""
    async with provisioned(stack) as system, working(system):
        await system.objects.put("temp/no such media", b"hello", content_type="text/plain")
        await poll(lambda: _has(_temp(system), set()))


async def _recorded(get: Awaitable[Fold | None], digest: str) -> Fold | None:
    fold = await get
    return fold if fold is not None and fold.digest() == digest else None


async def _is_on_record(system: System, fold: Fold) -> bool:
    ref = ObjectRef(bucket=system.settings.bucket, key=f"records/{fold.media_id}.json", size=0)
    return await system.objects.get(ref) == fold.text()


async def _has(keys: Awaitable[list[str]], expected: set[str]) -> bool:
    return set(await keys) == expected


async def _temp(system: System) -> list[str]:
    return [entry.key async for entry in system.objects.list_versions("temp/no")]
