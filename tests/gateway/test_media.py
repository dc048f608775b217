import asyncio
import time
import uuid
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from pydantic_core import from_json

from events.bus import ConsumerSpec, Message, Stored
from events.streams import Retention, streams
from gateway import openapi, queues
from infra.documents import Documents
from infra.local.threaded import ThreadedStack
from infra.objects import Objects
from schemas.document import Fold
from schemas.events import Discarded, Overwritten
from schemas.subjects import everything
from tests.gateway.delivering import Delivered
from tests.gateway.running import PDF, SHA, Running, Story

WAY = ["requested", "uploaded", "identified", "scanned", "probed", "promoted", "ready", "discarded"]


def conforms(body: object, model: str) -> None:
    """Check an answer against the published description."""
    described = {**openapi.assemble().openapi(), "$ref": f"#/components/schemas/{model}"}
    jsonschema.validate(body, described)  # pyright: ignore[reportUnknownMemberType] - its schema is a bare dict


async def test_answers_are_as_published(gateway: Running) -> None:
    """Tickets, statuses, readiness and problems conform to the OpenAPI document."""
    put, form = await gateway.upload(), await gateway.upload(form=True)
    conforms(put.body, "UploadPut")
    conforms(form.body, "UploadForm")
    conforms((await gateway.status(put.body["media_id"])).body, "MediaStatus")
    conforms((await gateway.upload(size=-1)).body, "Problem")
    conforms((await gateway.call("GET", "/readyz")).body, "Readiness")


async def test_a_media_is_known_from_the_post_on(gateway: Running) -> None:
    """Right after the POST the status is `pending` and waits for the client; no other process is needed for it."""
    media_id = await gateway.requested(context={"n": 2**70, "a\0b": [1.5, None]})
    body = (await gateway.status(media_id)).body
    assert body["state"] == "pending"
    assert body["waits_for"] == ["client"]
    assert body["queue"] is None
    assert body["media"]["context"] == {"n": 2**70, "a\0b": [1.5, None]}
    assert [step["event"] for step in body["history"]] == ["requested"]


async def test_it_says_whom_a_media_waits_for(gateway: Running) -> None:
    """Under way, the function that takes the newest event is named."""
    media_id = await gateway.requested()
    story = await Story.of(gateway.operator, media_id)
    await story.scan()
    body = (await gateway.status(media_id)).body
    assert body["state"] == "processing"
    assert body["waits_for"] == ["probe"]
    assert body["identity"]["kind"] == "document"
    assert body["original"] is None


async def test_it_says_how_long_the_queue_is(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under way, the position at the function it waits for is the consumer's own figure, and so is its speed."""
    monkeypatch.setattr(queues, "FRESH_SECONDS", 0)
    probe = ConsumerSpec("MEDIA", "probe-standard", ("media.scanned.*.standard.>",))
    # Whatever consumer another test left has that test's files in its queue.
    await gateway.operator.provision(streams(Retention()), [], prune=True)
    await gateway.operator.provision(streams(Retention()), [probe])
    media_id = ""
    try:
        for _ in range(3):
            media_id = await gateway.requested()
            await (await Story.of(gateway.operator, media_id)).scan()
        assert (await gateway.status(media_id)).body["queue"] == {
            "function": "probe",
            "position": 3,
            "eta_seconds": None,
        }
        took: asyncio.Queue[Message] = asyncio.Queue()
        begun = time.monotonic()
        subscription = await gateway.operator.subscribe("MEDIA", "probe-standard", took.put_nowait)
        subscription.want(1)
        await (await took.get()).ack()
        queue = (await gateway.status(media_id)).body["queue"]
        assert queue["position"] == 2
        assert 0 <= queue["eta_seconds"] <= 2 * (time.monotonic() - begun) + 1
        await subscription.drain()
    finally:
        await gateway.operator.provision(streams(Retention()), [], prune=True)


async def test_a_lane_has_its_own_queue(gateway: Running, provisioned: ThreadedStack) -> None:
    """Where a function has a queue for each lane, the media's own counts, whatever waits in the others."""
    lanes = [
        ConsumerSpec("MEDIA", f"render_image-{lane}", (f"media.promoted.image.{lane}.>",))
        for lane in ("standard", "bulk")
    ]
    expected: dict[Delivered, dict[str, Any]] = {}
    await gateway.operator.provision(streams(Retention()), [], prune=True)
    await gateway.operator.provision(streams(Retention()), lanes)
    try:
        for lane, count in (("standard", 3), ("bulk", 1)):
            token = gateway.token("alice", lanes=[lane])
            media = [await Delivered.of(gateway, provisioned, promised=["sizes"], token=token) for _ in range(count)]
            expected[media[0]] = {"function": "render_image", "position": count, "eta_seconds": None}
        for one, queue in expected.items():
            body = await one.status()
            assert (body["waits_for"], body["queue"]) == (["render_image"], queue)
    finally:
        await gateway.operator.provision(streams(Retention()), [], prune=True)


@pytest.mark.parametrize(("days", "told"), [(2, False), (5, True)])
async def test_a_scan_with_old_signatures_says_so(gateway: Running, days: int, told: bool) -> None:
    """Signatures that were old when the file was scanned are a warning; younger ones aren't."""
    media_id = await gateway.requested()
    story = await Story.of(gateway.operator, media_id)
    made = datetime.now(UTC) - timedelta(days=days, hours=1)
    story.verdict = story.verdict.model_copy(update={"signatures": "27450", "signatures_at": made})
    await story.finish()
    body = (await gateway.status(media_id)).body
    conforms(body, "MediaStatus")
    warned = [warning for warning in body["warnings"] if "OLD SIGNATURES" in warning]
    assert bool(warned) is told
    assert all(f"{days} days" in warning for warning in warned)
    assert datetime.fromisoformat(body["verdict"]["signatures_at"]) == made


async def test_a_ready_media_tells_everything(gateway: Running) -> None:
    """Verdict, probe, history and a URL of the bytes; test signatures are called so loudly."""
    media_id = await gateway.requested(filename="übung.pdf")
    await (await Story.of(gateway.operator, media_id)).finish()
    body = (await gateway.status(media_id)).body
    conforms(body, "MediaStatus")
    assert body["state"] == "ready"
    assert body["waits_for"] == []
    assert body["probe"]["pages"] == 3
    assert body["verdict"]["test_signatures"] is True
    assert any("TEST SIGNATURES" in warning for warning in body["warnings"])
    assert body["original"]["sha256"] == SHA
    assert [(step["function"], step["event"]) for step in body["history"]] == [
        ("gateway", "requested"),
        ("receive", "uploaded"),
        ("identify", "identified"),
        ("scan", "scanned"),
        ("probe", "probed"),
        ("promote", "promoted"),
        ("finish", "ready"),
        ("discard", "discarded"),
    ]


async def test_the_url_of_the_original_gives_its_bytes(gateway: Running, provisioned: ThreadedStack) -> None:
    """The presigned URL answers the promoted bytes under the client's name and the type that was found."""
    media_id = await gateway.requested(filename="übung.pdf")
    await (await Story.of(gateway.operator, media_id)).finish()
    async with Objects.from_settings(provisioned.settings("operator")) as objects:
        await objects.put(f"permanent/{media_id}/original.pdf", b"%PDF", content_type="application/octet-stream")
    url = (await gateway.status(media_id)).body["original"]["url"]
    async with gateway.http.get(url) as response:
        assert await response.read() == b"%PDF"
        assert response.headers["content-type"] == "application/pdf"
        assert "%C3%BCbung.pdf" in response.headers["content-disposition"]


async def test_an_upload_token_follows_its_uploads_without_their_bytes(gateway: Running) -> None:
    """With scope `upload` alone the owner sees the state, and no URL."""
    media_id = await gateway.requested()
    await (await Story.of(gateway.operator, media_id)).finish()
    body = (await gateway.status(media_id, gateway.token("alice", "upload"))).body
    assert body["state"] == "ready"
    assert body["original"]["url"] is None


async def test_a_rejection_says_why(gateway: Running) -> None:
    """Code, sentence and function of a refusal are in the status and its history."""
    media_id = await gateway.requested()
    await (await Story.of(gateway.operator, media_id)).reject()
    body = (await gateway.status(media_id)).body
    assert body["state"] == "rejected"
    assert body["rejection"] == {"code": "type_refused", "reason": "It is a program.", "function": "identify"}
    assert body["history"][-1]["code"] == "type_refused"


async def test_quarantine_takes_the_bytes_away(gateway: Running) -> None:
    """A later finding outranks `ready`: the verdict is the finding's and there is no URL."""
    media_id = await gateway.requested()
    story = await Story.of(gateway.operator, media_id)
    await story.finish()
    await story.quarantine()
    body = (await gateway.status(media_id)).body
    assert body["state"] == "quarantined"
    assert body["verdict"]["signature"] == "Eicar"
    assert body["original"] is None


async def test_only_owner_and_audience_see_a_media(gateway: Running) -> None:
    """Anybody else gets the same 404 as for what doesn't exist, whatever is asked."""
    token = gateway.token(audiences=["team"])
    media_id = (await gateway.upload(token=token, audience=["team"])).body["media_id"]
    mallory = gateway.token("mallory", audiences=["other"])
    assert (await gateway.status(media_id, gateway.token("bob", audiences=["team"]))).status == 200
    nothing = await gateway.status(str(uuid.uuid4()), mallory)
    for path, method in (("", "GET"), ("/events", "GET"), ("", "DELETE")):
        answer = await gateway.call(method, f"/v1/media/{media_id}{path}", token=mallory)
        assert (answer.status, answer.body) == (404, nothing.body)


@pytest.mark.parametrize("media_id", ["*", "%3E", "a.b", "00000000", "..%2f..%2fetc", "%00", "x" * 3000])
async def test_an_id_that_is_none_is_not_found(gateway: Running, media_id: str) -> None:
    """What isn't an id never becomes a subject filter."""
    await gateway.requested()
    assert (await gateway.status(media_id)).status == 404


async def test_a_deletion_is_on_record(gateway: Running) -> None:
    """DELETE is the owner's alone, needs its scope, and asked twice is asked once."""
    token = gateway.token(audiences=["team"])
    media_id = (await gateway.upload(token=token, audience=["team"])).body["media_id"]
    story = await Story.of(gateway.operator, media_id)
    await story.finish()
    path = f"/v1/media/{media_id}"
    assert (await gateway.call("DELETE", path, token=gateway.token("alice", "read"))).status == 403
    assert (await gateway.call("DELETE", path, token=gateway.token("bob", audiences=["team"]))).status == 403
    for _ in range(2):
        answer = await gateway.call("DELETE", path)
        assert (answer.status, answer.body) == (202, {"media_id": media_id, "state": "deleted"})
    stored = await gateway.operator.last("MEDIA", [everything(media_id)])
    assert [one.subject.split(".")[1] for one in stored].count("deleted") == 1
    body = (await gateway.status(media_id)).body
    assert (body["state"], body["original"]) == ("deleted", None)


async def test_who_may_not_see_may_not_delete(gateway: Running) -> None:
    """A stranger's media, one that never was and no id at all are the same 404; without the scope it is 403."""
    media_id = await gateway.requested(token=gateway.token(audiences=["team"]), audience=["team"])
    for path in (media_id, str(uuid.uuid4()), "x", "*", media_id.upper(), f"{media_id}%00"):
        answer = await gateway.call("DELETE", f"/v1/media/{path}", token=gateway.token("bob"))
        assert (answer.status, answer.body["type"]) == (404, "urn:tidegate:problem:media_not_found")
    member = gateway.token("bob", audiences=["team"])
    answer = await gateway.call("DELETE", f"/v1/media/{media_id}", token=member)
    assert (answer.status, answer.body["type"]) == (403, "urn:tidegate:problem:not_owner")
    for scopes in (["upload"], ["read"], ["upload", "read"]):
        answer = await gateway.call("DELETE", f"/v1/media/{media_id}", token=gateway.token("alice", *scopes))
        assert (answer.status, answer.body["type"]) == (403, "urn:tidegate:problem:scope_missing")
    assert (await gateway.status(media_id)).body["state"] == "pending"


async def test_a_deleted_media_stays_deleted_for_all_who_saw_it(gateway: Running, provisioned: ThreadedStack) -> None:
    """Members are told, its stream ends so, and neither what functions still say nor what is forgotten changes it."""
    token, member = gateway.token(audiences=["team"]), gateway.token("bob", audiences=["team"])
    media_id = await gateway.requested(token=token, audience=["team"])
    story = await Story.of(gateway.operator, media_id)
    stream = gateway.events(media_id, token=member)
    assert (await anext(stream)).event == "requested"
    assert (await gateway.call("DELETE", f"/v1/media/{media_id}", token=token)).status == 202
    async with asyncio.timeout(10):
        told = [event async for event in stream]
    assert [event.event for event in told] == ["deleted", "end"]
    assert told[-1].json["state"] == "deleted"
    await story.finish()
    for one in await recorded(gateway, provisioned, media_id):
        await gateway.operator.delete("MEDIA", one.sequence)
    for who in (token, member):
        body = (await gateway.status(media_id, who)).body
        assert (body["state"], body["original"], body["waits_for"]) == ("deleted", None, [])
    assert (await gateway.call("DELETE", f"/v1/media/{media_id}", token=token)).status == 202
    assert await gateway.operator.last("MEDIA", [everything(media_id)]) == []


async def test_thousands_of_versions_do_not_hide_a_media(gateway: Running) -> None:
    """A form may be posted again and again: with more subjects than can be asked at once the state is still told."""
    media_id = await gateway.requested(form=True)
    story = await Story.of(gateway.operator, media_id)
    await story.finish()
    facts = story.facts()
    won = facts["object"]

    async def overwrite(number: int) -> None:
        lost = won.model_copy(update={"version_id": str(uuid.uuid4())})
        again = Story(gateway.operator, story.cause, story.media)
        await again.say("receive", Overwritten(media=story.media, object=lost, winner=won.version_id))
        if number % 2:
            await again.say(
                "discard", Discarded(media=story.media, cause="overwritten", subject_version=lost.version_id)
            )

    for begin in range(0, 800, 100):
        await asyncio.gather(*(overwrite(begin + number) for number in range(100)))
    with pytest.raises(ValueError, match=r"1,024"):
        await gateway.operator.last("MEDIA", [everything(media_id)])
    answer = await gateway.status(media_id)
    assert answer.status == 200
    conforms(answer.body, "MediaStatus")
    assert answer.body["state"] == "ready"
    assert [step["event"] for step in answer.body["history"]] == WAY
    assert any("versions" in warning for warning in answer.body["warnings"])
    assert (await gateway.status(media_id, token=gateway.token("bob"))).status == 404
    told = [event.event async for event in gateway.events(media_id)]
    assert (told[: len(WAY)], told.count("overwritten"), told[-1]) == (WAY, 800, "end")
    assert (await gateway.call("DELETE", f"/v1/media/{media_id}")).status == 202
    assert (await gateway.status(media_id)).body["state"] == "deleted"


async def recorded(gateway: Running, provisioned: ThreadedStack, media_id: str) -> list[Stored]:
    """Write the document as `record` would, and return what the stream has."""
    stored = await gateway.operator.last("MEDIA", [everything(media_id)])
    async with aclosing(Documents.from_settings(provisioned.settings("functions"))) as documents:
        await documents.write({media_id: (None, Fold.of(media_id, [from_json(one.data) for one in stored]))})
    return stored


async def test_it_is_right_while_mongodb_is_away(gateway: Running, provisioned: ThreadedStack) -> None:
    """The stream alone answers for what it still has; only for what it has not is it a 503."""
    media_id = await gateway.requested()
    provisioned.mongo.freeze()
    try:
        async with asyncio.timeout(1):
            assert (await gateway.status(media_id)).status == 200
        answer = await gateway.status(str(uuid.uuid4()))
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        ready = await gateway.call("GET", "/readyz", token="")
        assert ready.status == 503
        assert ready.body["dependencies"]["mongo"]["up"] is False
        assert ready.body["dependencies"]["nats"]["up"] is True
    finally:
        provisioned.mongo.thaw()


async def test_it_answers_from_mongodb_while_nats_is_away(gateway: Running, provisioned: ThreadedStack) -> None:
    """With NATS frozen the document answers, and says that the newest may be missing; without one it is a 503."""
    media_id = await gateway.requested(filename="old.pdf")
    await recorded(gateway, provisioned, media_id)
    provisioned.nats.freeze()
    try:
        answer = await gateway.status(media_id)
        unknown = await gateway.status(str(uuid.uuid4()))
    finally:
        provisioned.nats.thaw()
    assert (answer.status, answer.body["media"]["filename"]) == (200, "old.pdf")
    assert any("NATS" in warning for warning in answer.body["warnings"])
    assert unknown.status == 503


async def test_an_old_media_comes_from_mongodb(gateway: Running, provisioned: ThreadedStack) -> None:
    """What the stream has forgotten is found in its document, merged with what happened since."""
    media_id = await gateway.requested()
    story = await Story.of(gateway.operator, media_id)
    await story.finish()
    for one in await recorded(gateway, provisioned, media_id):
        await gateway.operator.delete("MEDIA", one.sequence)
    await story.quarantine()
    body = (await gateway.status(media_id)).body
    assert body["state"] == "quarantined"
    assert len(body["history"]) == 9
    assert body["media"]["filename"] == PDF["filename"]
