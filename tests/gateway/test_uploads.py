import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import pytest
import pytest_asyncio

from events.envelope import Envelope
from gateway import openapi
from gateway.limits import LARGEST_BODY
from infra.local.threaded import ThreadedStack
from schemas.events import Requested
from schemas.subjects import everything
from tests.gateway.conftest import running
from tests.gateway.running import PDF, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(provisioned: ThreadedStack) -> AsyncGenerator[Running]:
    """One gateway for all of these."""
    async with running(provisioned) as one:
        yield one


HOSTILE = [
    "../../etc/passwd",
    "a\nb\r\nX-Evil: 1",
    "\u202egnp.exe",
    "re\u0301sume\u0301.pdf",
    "x" * 1024,
    "a+b%2Fc#d?e&f.pdf",
    "\U0001f4a9" * 1024,
    "\0nul\0",
    "'; DROP TABLE media; --",
    "media.*.>",
]


async def envelope_of(gateway: Running, media_id: str) -> Envelope:
    """What is in the stream of a new media."""
    (stored,) = await gateway.operator.last("MEDIA", [everything(media_id)])
    return Envelope.decode(stored.data)


async def test_an_upload_is_on_record_before_the_client_knows_its_url(gateway: Running) -> None:
    """When the answer is there, `requested` is in the stream with everything the client said."""
    answer = await gateway.upload(
        token=gateway.token(audiences=["team"]), audience=["team"], context={"message_id": "m1", "tags": ["a"]}
    )
    assert answer.status == 201
    media_id = answer.body["media_id"]
    assert answer.headers["location"] == f"/v1/media/{media_id}"
    assert media_id[14] == "7"
    (stored,) = await gateway.operator.last("MEDIA", [everything(media_id)])
    assert stored.subject == f"media.requested.unknown.standard.{media_id}.0.gateway"
    envelope = Envelope.decode(stored.data)
    assert stored.headers["Nats-Msg-Id"] == envelope.id
    requested = Requested.model_validate(envelope.data)
    assert requested.media.owner == "alice"
    assert requested.media.audience == ("team",)
    assert requested.media.context == {"message_id": "m1", "tags": ["a"]}
    assert requested.expires_at == datetime.fromisoformat(answer.body["expires_at"])


async def test_a_trace_goes_on(gateway: Running) -> None:
    """The client's trace continues in `requested`; what isn't one begins a new one."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for header, continues in ((f"00-{trace}-00f067aa0ba902b7-01", True), (f"00-{trace}-0000000000000000-01", False)):
        answer = await gateway.call("POST", "/v1/uploads", json=PDF, headers={"traceparent": header})
        envelope = await envelope_of(gateway, answer.body["media_id"])
        assert (envelope.traceparent.split("-")[1] == trace) is continues


async def test_a_presigned_put_takes_exactly_what_was_announced_and_once(gateway: Running) -> None:
    """MinIO takes the announced bytes once: another length is 403, a second PUT 412."""
    ticket = (await gateway.upload()).body
    assert ticket["method"] == "PUT"
    async with gateway.http.put(ticket["url"], headers=ticket["headers"], data=b"x" * 1000) as first:
        assert first.status == 200, await first.text()
    async with gateway.http.put(ticket["url"], headers=ticket["headers"], data=b"y" * 1000) as second:
        assert second.status == 412
    headers = {**ticket["headers"], "Content-Length": "999"}
    async with gateway.http.put(ticket["url"], headers=headers, data=b"x" * 999) as shorter:
        assert shorter.status == 403


async def test_a_form_takes_the_file(gateway: Running) -> None:
    """`form: true` answers fields that a multipart form uploads with."""
    ticket = (await gateway.upload(form=True)).body
    assert ticket["method"] == "POST"
    form = aiohttp.FormData(ticket["fields"])
    form.add_field("file", b"x" * 1000, filename="a.pdf", content_type="application/pdf")
    async with gateway.http.post(ticket["url"], data=form) as response:
        assert response.status == 204, await response.text()
    envelope = await envelope_of(gateway, ticket["media_id"])
    assert envelope.data["method"] == "form"


async def refusal(gateway: Running, ticket: Any, body: bytes, **changed: str) -> tuple[int, str, str]:
    """What MinIO answers to an upload: status, code and message."""
    if ticket["method"] == "PUT":
        headers = {**ticket["headers"], "Content-Length": str(len(body)), **changed}
        sending = gateway.http.put(ticket["url"], headers=headers, data=body)
    else:
        form = aiohttp.FormData({**ticket["fields"], **changed})
        form.add_field("file", body, filename="a.pdf", content_type="application/pdf")
        sending = gateway.http.post(ticket["url"], data=form)
    async with sending as response:
        assert response.content_type == "application/xml"
        said = ET.fromstring(await response.text())
        return response.status, said.findtext("Code", ""), said.findtext("Message", "")


async def test_minio_says_why_it_refuses_an_upload(gateway: Running) -> None:
    """Longer, shorter or of another type than was announced: the codes that the API's description names."""
    put, form = (await gateway.upload()).body, (await gateway.upload(form=True)).body
    html = {"Content-Type": "text/html"}
    for ticket, body, changed, status, code in (
        (put, b"x" * 1001, {}, 403, "SignatureDoesNotMatch"),
        (put, b"x" * 999, {}, 403, "SignatureDoesNotMatch"),
        (put, b"x" * 1000, html, 403, "SignatureDoesNotMatch"),
        (form, b"x" * 1001, {}, 400, "EntityTooLarge"),
        (form, b"x" * 999, {}, 400, "EntityTooSmall"),
        (form, b"x" * 1000, html, 403, "AccessDenied"),
    ):
        assert (await refusal(gateway, ticket, body, **changed))[:2] == (status, code)
    for description, codes in (
        ("UploadPut", ["PreconditionFailed", "AccessDenied", "SignatureDoesNotMatch"]),
        ("UploadForm", ["EntityTooLarge", "EntityTooSmall", "AccessDenied"]),
    ):
        described = openapi.assemble().openapi()["components"]["schemas"][description]["description"]
        assert all(code in described for code in codes)


async def test_minio_says_that_the_time_is_over(gateway: Running, provisioned: ThreadedStack) -> None:
    """An expired URL and an expired form are 403 with a message that says so, whatever else is wrong."""
    async with running(provisioned, upload_expires_seconds=1) as hasty:
        put, form = (await hasty.upload()).body, (await hasty.upload(form=True)).body
    for ticket, message in ((put, "Request has expired"), (form, "Policy expired")):
        # Of another length: before its time is over it is refused for that.
        async with asyncio.timeout(10):
            while (said := await refusal(gateway, ticket, b"x"))[1] != "AccessDenied":
                pass
        assert said[0] == 403
        assert message in said[2]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_file_name_is_data(gateway: Running, name: str) -> None:
    """Any text of 1,024 characters goes through unharmed, into the event and the status."""
    media_id = await gateway.requested(filename=name)
    assert (await envelope_of(gateway, media_id)).data["media"]["filename"] == name
    assert (await gateway.status(media_id)).body["media"]["filename"] == name


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (json.dumps({**PDF, "filename": "\ud800"}), "body"),
        (json.dumps({**PDF, "context": {"a": "\udfff"}}), "body"),
        (json.dumps({**PDF, "context": {"a": float("inf")}}), "context"),
        (json.dumps({**PDF, "context": {"a": float("nan")}}), "context"),
        (json.dumps({**PDF, "context": {"a": "x" * 9000}}), "context"),
        (json.dumps({**PDF, "context": json.loads('{"a":' * 20 + "1" + "}" * 20)}), "context"),
        (json.dumps({**PDF, "filename": ""}), "filename"),
        (json.dumps({**PDF, "filename": "x" * 1025}), "filename"),
        (json.dumps({**PDF, "size": -1}), "size"),
        (json.dumps({**PDF, "size": "many"}), "size"),
        (json.dumps({**PDF, "content_type": "application/pdf\r\nx: y"}), "content_type"),
        (json.dumps({**PDF, "content_type": " application/pdf"}), "content_type"),
        (json.dumps({**PDF, "content_type": "pdf"}), "content_type"),
        (json.dumps({**PDF, "content_type": "application/pdf\n"}), "content_type"),
        (json.dumps({**PDF, "lane": "express"}), "lane"),
        (json.dumps({**PDF, "fliename": "typo"}), "fliename"),
        ("{" * 5000, "body"),
        ("", "body"),
        ("[]", "body"),
        (b"\xff\xfe", "body"),
    ],
    ids=str,
)
async def test_what_is_not_valid_is_named(gateway: Running, body: Any, field: str) -> None:
    """A body that can't be taken is a 422 that names the field and repeats nothing of it."""
    answer = await gateway.call("POST", "/v1/uploads", data=body)
    assert answer.status == 422, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["type"] == "urn:tidegate:problem:invalid"
    assert field in {error["field"].split(".")[0] for error in answer.body["errors"]}
    assert "xxxx" not in json.dumps(answer.body)


async def test_a_type_that_a_browser_does_not_know(gateway: Running) -> None:
    """Its `File.type` is empty: the error says what to send, in words."""
    answer = await gateway.upload(content_type="")
    assert answer.status == 422
    (error,) = answer.body["errors"]
    assert error["field"] == "content_type"
    assert error["message"].startswith("This is no media type such as `application/pdf`: say what the file is.")


async def test_a_file_over_the_limit_is_refused_before_it_is_sent(gateway: Running) -> None:
    """The largest size is taken, one byte more is 413 and says what the limit is."""
    limit = gateway.settings.max_upload_bytes
    assert (await gateway.upload(size=limit)).status == 201
    answer = await gateway.upload(size=limit + 1)
    assert answer.status == 413
    assert answer.body["limit"] == limit


async def test_no_file_comes_through_the_gateway(gateway: Running) -> None:
    """A body that is larger than the largest wish is 413, whether it says so or not."""

    async def chunks() -> Any:
        for _ in range(4):
            yield b"x" * LARGEST_BODY
            await asyncio.sleep(0)

    async with aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {gateway.token()}"}
        for data in (b"x" * (LARGEST_BODY + 1), chunks()):
            try:
                async with http.post(f"{gateway.url}/v1/uploads", data=data, headers=headers) as response:
                    assert response.status == 413
                    assert (await response.json(content_type=None))["type"].endswith("body_too_large")
            except aiohttp.ClientConnectionError:
                continue  # It was still sending when the gateway had heard enough.


async def test_the_largest_wish_fits_an_event_or_is_refused(gateway: Running) -> None:
    """File name, audience and context at their bounds are a 422, not an event that no function can carry on."""
    audience = [f"{number:0200}" for number in range(20)]
    token, context = gateway.token(audiences=audience), {"a": "\U0001f4a9" * 8100}
    assert (await gateway.upload(token=token, context=context, filename="\x01" * 1024)).status == 201
    answer = await gateway.upload(token=token, audience=audience, context=context, filename="\x01" * 1024)
    assert answer.status == 422
    assert "shorten" in answer.body["detail"]


async def test_a_lane_is_granted_by_the_token(gateway: Running) -> None:
    """A lane the token doesn't name is 403; without a wish it is standard, or the token's first."""
    assert (await gateway.upload(lane="premium")).status == 403
    granted = gateway.token(lanes=["premium", "bulk"])
    answer = await gateway.upload(token=granted, lane="bulk")
    assert (await envelope_of(gateway, answer.body["media_id"])).lane == "bulk"
    answer = await gateway.upload(token=granted)
    assert (await envelope_of(gateway, answer.body["media_id"])).lane == "premium"


async def test_nobody_speaks_to_a_conversation_he_is_not_in(gateway: Running) -> None:
    """An audience that the token doesn't name is 403."""
    answer = await gateway.upload(token=gateway.token(audiences=["a"]), audience=["a", "b"])
    assert answer.status == 403
    assert answer.body["type"].endswith("audience_not_granted")


async def test_without_nats_nothing_is_promised(gateway: Running, provisioned: ThreadedStack) -> None:
    """With NATS frozen a POST is a 503 that says when to come again, and works once NATS is back."""
    provisioned.nats.freeze()
    try:
        answer = await gateway.upload()
    finally:
        provisioned.nats.thaw()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "2"
    async with asyncio.timeout(20):
        while (await gateway.upload()).status != 201:
            pass
