"""File names and contexts from strangers go the whole way unharmed, and are never a path, a key, a subject or a log."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote, unquote

import pytest
import pytest_asyncio
from pydantic_core import from_json

from infra.local.threaded import ThreadedStack
from infra.presign import LONGEST_NAME, content_disposition
from infra.records import read_record
from tests.gateway.conftest import running
from tests.gateway.running import Running
from tests.gateway.test_events import following, frames
from tests.system import System, poll, provisioned, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = "Grüße\n".encode()
# What Persian words and families of emoji are written with.
JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
HOSTILE = {
    "traversal": "../../../../etc/passwd",
    "windows": "..\\..\\C:\\Windows\\system32\\cmd.exe",
    "absolute": "/etc/cron.d/job",
    "encoded traversal": "..%2F..%2f%2e%2e/%252e",
    "composed": "r\u00e9sum\u00e9",
    "decomposed": "re\u0301sume\u0301",
    "compatible": "\ufb01le\u2024\uff0e\uff0f\u2460",
    "right to left": "\u202egnp.exe\u2066\u200f",
    "hebrew": "\u05e9\u05dc\u05d5\u05dd",
    "newlines": "a\nb\r\nX-Evil: 1\r\n\r\n<html>\u2028\u2029\x85",
    "event stream": "\n\nevent: end\ndata: {}\n\n",
    "long": "x" * 900,
    "long in bytes": "\U0001f4a9" * 900,
    "plus": "a+b c%20d",
    "percent": "%2F%00%zz%",
    "fragment": "#a?b&c=d;e",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3ff\ufe0f",
    "nul": "\0a\0.pdf\0",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "shell": "$(touch /tmp/owned); `id` | rm -rf ~ && 'x' \"y\"",
    "format": "%s%n{0}{media_id}${jndi:ldap://x}",
    "sql": "'; DROP TABLE media; --",
    "mongo": "$where",
    "subject": "media.*.>",
    "markup": "<script>alert(1)</script>[red]",
    "quotes": 'a"b\';filename="evil.exe"',
    "json": '","owner":"mallory","x":"',
    "dots": "..",
    "noncharacters": "\ufffe\uffff\U0010ffff\ufeff\ufdd0",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(provisioned_stack: ThreadedStack) -> AsyncGenerator[System]:
    """Functions at work."""
    async with provisioned(provisioned_stack) as one, working(one):
        yield one


@pytest.fixture(scope="module")
def provisioned_stack(spare_stack: ThreadedStack) -> ThreadedStack:
    """The servers."""
    return spare_stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(system: System) -> AsyncGenerator[Running]:
    """One gateway for all of these."""
    async with running(system.stack) as one:
        yield one


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
async def test_it_goes_the_whole_way_unharmed(
    gateway: Running,
    system: System,
    hostile: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Uploaded, scanned, ready: status, listing, events and record say it as it was; nothing else has a trace of it."""
    mark = f"mark{secrets.token_hex(8)}"
    name = f"{mark}{hostile}"
    context = {"conversation_id": name, "message_id": name, "tags": [name], name: {name: [name]}}
    owner = f"owner {secrets.token_hex(8)}"
    token = gateway.token(owner, audiences=[name[:255]])
    async with following(gateway, frames, token) as stream:
        wish = {"filename": name, "content_type": "text/plain", "size": len(BODY)}
        answer = await gateway.upload(token=token, audience=[name[:255]], context=context, **wish)
        assert answer.status == 201, answer.body
        ticket, media_id = answer.body, answer.body["media_id"]
        async with gateway.http.put(ticket["url"], headers=ticket["headers"], data=BODY) as put:
            assert put.status == 200, await put.text()
        told = await stream.told(1)
        while told[-1].event != "ready":
            assert told[-1].event != "rejected", told[-1].data
            told += await stream.told(1, 30)
    for event in told:
        assert unharmed(event.json["data"]["media"], name, context), event.event
    status = (await gateway.status(media_id, token)).body
    assert unharmed(status["media"], name, context)
    for asked in ("conversation", "message", "tag", "audience"):
        query = f"{asked}={quote(name[:255] if asked == 'audience' else name, safe='')}&state=ready"
        (item,) = await poll(lambda query=query: listed(gateway, token, query))
        assert item["media_id"] == media_id
        assert unharmed(item["media"], name, context)
    record = await poll(lambda: read_record(system.objects, media_id))
    assert unharmed(record.known()["media"], name, context)
    await downloaded(gateway, status["original"]["url"], name)
    await poll(lambda: discarded(system, media_id))
    keys = [entry.key async for entry in system.objects.list("")] + await system.keys(media_id)
    subjects = [stored.subject for stored in await system.last(media_id)]
    out, err = capsys.readouterr()
    logs = await asyncio.to_thread(server_logs, system.stack)
    assert media_id in "".join(keys)
    assert "http.request" in out
    for where in (*keys, *subjects, out, err, caplog.text, *logs):
        assert mark not in where


def unharmed(media: Any, name: str, context: dict[str, Any]) -> bool:
    """Whether name, context and audience are what was sent, to the byte."""
    return (media["filename"], media["context"], list(media["audience"])) == (name, context, [name[:255]])


async def listed(gateway: Running, token: str, query: str) -> Any:
    """The items of a listing."""
    answer = await gateway.call("GET", f"/v1/media?{query}", token=token)
    assert answer.status == 200, answer.body
    return answer.body["items"]


async def discarded(system: System, media_id: str) -> Any:
    """Whether everything has happened, and logs have all that they will have."""
    return await system.event(media_id, "discarded")


async def downloaded(gateway: Running, url: str, name: str) -> None:
    """The bytes come under a name that no browser can take for a path, a header or another type."""
    async with gateway.http.get(url) as response:
        assert await response.read() == BODY
        disposition = response.headers.getall("Content-Disposition")
        assert response.headers["content-type"].startswith("text/plain")
        assert "X-Evil" not in response.headers
    assert disposition == [content_disposition(name)]
    found = re.fullmatch(r'attachment; filename="([ -!#-~]*)"; filename\*=UTF-8\'\'([A-Za-z0-9._~%-]*)', disposition[0])
    assert found is not None
    shown = unquote(found[2], errors="strict")
    assert not set("/\\\0\r\n\u202e") & set(shown)
    assert shown.translate(JOINERS).isprintable()
    if name.translate(JOINERS).isprintable() and not set("/\\") & set(name) and len(name.encode()) <= LONGEST_NAME:
        assert shown == name


def server_logs(stack: ThreadedStack) -> list[str]:
    """What MinIO, NATS, MongoDB and ClamAV wrote."""
    return [path.read_text(errors="replace") for path in (stack.info.data / "logs").glob("*.log")]


@pytest.mark.parametrize("where", ["filename", "value", "key"])
async def test_what_no_utf8_can_carry_is_refused(gateway: Running, where: str) -> None:
    """A lone surrogate is a 422 wherever it stands, and nothing of it is repeated."""
    lone = r"\ud800"
    body = {
        "filename": f'{{"filename": "{lone}", "content_type": "text/plain", "size": 1}}',
        "value": f'{{"filename": "a", "content_type": "text/plain", "size": 1, "context": {{"a": "{lone}"}}}}',
        "key": f'{{"filename": "a", "content_type": "text/plain", "size": 1, "context": {{"{lone}": 1}}}}',
    }[where]
    assert from_json(body.replace(lone, "x"))
    answer = await gateway.call("POST", "/v1/uploads", data=body)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ud800" not in str(answer.body)
