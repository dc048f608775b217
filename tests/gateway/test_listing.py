import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic_core import from_json

from gateway.listing import LARGEST_BYTES
from infra.documents import Documents
from infra.local.threaded import ThreadedStack
from schemas.api import LARGEST_PAGE, cursor_after
from schemas.document import Fold
from schemas.subjects import everything
from tests.gateway.conftest import running
from tests.gateway.running import Running, Story
from tests.gateway.test_media import conforms

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(provisioned: ThreadedStack) -> AsyncGenerator[Running]:
    """One gateway for all of these."""
    async with running(provisioned) as one:
        yield one


class Person:
    """Somebody of whom no other test knows."""

    def __init__(self, gateway: Running, provisioned: ThreadedStack, *audiences: str, scopes: Any = ()) -> None:
        self.name = f"person-{uuid4()}"
        self.token = gateway.token(self.name, *scopes, audiences=audiences)
        self._gateway = gateway
        self._settings = provisioned.settings("functions")

    async def uploads(self, story: str = "", **wish: Any) -> str:
        """The id of a new media, about which the functions said something, written down as `record` would."""
        media_id = await self._gateway.requested(token=self.token, **wish)
        if story:
            await getattr(await Story.of(self._gateway.operator, media_id), story)()
        await self.recorded(media_id)
        return media_id

    async def recorded(self, media_id: str) -> None:
        """Write the document as `record` would."""
        stored = await self._gateway.operator.last("MEDIA", [everything(media_id)])
        async with aclosing(Documents.from_settings(self._settings)) as documents:
            known = await documents.get(media_id)
            fold = Fold.of(media_id, [from_json(one.data) for one in stored])
            assert await documents.write({media_id: (known.digest() if known else None, fold)})

    async def lists(self, query: str = "") -> Any:
        """GET /v1/media."""
        answer = await self._gateway.call("GET", f"/v1/media?{query}", token=self.token)
        assert answer.status == 200, answer.body
        return answer.body

    async def sees(self, query: str = "") -> list[str]:
        """The ids of a listing."""
        return [item["media_id"] for item in (await self.lists(query))["items"]]


async def test_an_owner_lists_what_is_his_newest_first(gateway: Running, provisioned: ThreadedStack) -> None:
    """Each item says what the media is and where it stands, as published; an empty listing is one as well."""
    alice = Person(gateway, provisioned)
    assert await alice.lists() == {"items": [], "next": None}
    ready = await alice.uploads("finish", filename="a.pdf", context={"n": 2**70, "a\0": [1]})
    refused = await alice.uploads("reject")
    body = await alice.lists()
    conforms(body, "MediaPage")
    newest, oldest = body["items"]
    assert (newest["media_id"], newest["state"], newest["code"]) == (refused, "rejected", "type_refused")
    assert (oldest["media_id"], oldest["state"], oldest["kind"]) == (ready, "ready", "document")
    assert (oldest["content_type"], oldest["code"]) == ("application/pdf", None)
    assert oldest["media"]["context"] == {"n": 2**70, "a\0": [1]}
    assert oldest["media"]["owner"] == alice.name
    assert "http" not in str(body)


async def test_nobody_lists_what_he_may_not_see(gateway: Running, provisioned: ThreadedStack) -> None:
    """A conversation's members see its media; strangers, and the owner's names with another prefix, see nothing."""
    team = f"team-{uuid4()}"
    alice, bob = Person(gateway, provisioned, team), Person(gateway, provisioned, team)
    carol = Person(gateway, provisioned, f"owner {alice.name}", alice.name)
    shared = await alice.uploads(audience=[team])
    private = await alice.uploads()
    assert await alice.sees() == [private, shared]
    assert await bob.sees() == [shared]
    assert await bob.sees(f"owner={alice.name}") == await bob.sees(f"audience={team}") == [shared]
    for query in ("", f"owner={alice.name}", f"audience={team}", f"cursor={cursor_after(str(uuid4()))}"):
        assert await carol.sees(query) == []
    uploader = gateway.token(bob.name, "upload", audiences=[team])
    assert (await gateway.call("GET", "/v1/media", token=uploader)).body["items"] == []
    assert (await gateway.status(shared, uploader)).status == 404
    assert (await gateway.call("GET", "/v1/media", token=gateway.token(bob.name, "delete"))).status == 403


async def test_an_owner_finds_what_he_shared_with_whom_he_left(gateway: Running, provisioned: ThreadedStack) -> None:
    """An audience that the token doesn't name finds the owner's media alone."""
    team = f"team-{uuid4()}"
    alice, bob = Person(gateway, provisioned, team), Person(gateway, provisioned, team)
    mine = await alice.uploads(audience=[team])
    await bob.uploads(audience=[team])
    left = gateway.token(alice.name)
    found = (await gateway.call("GET", f"/v1/media?audience={team}", token=left)).body["items"]
    assert [item["media_id"] for item in found] == [mine]


async def test_filters_narrow(gateway: Running, provisioned: ThreadedStack) -> None:
    """By conversation, message, tag, kind, state and time, alone and together."""
    alice = Person(gateway, provisioned)
    one = await alice.uploads("finish", context={"conversation_id": "c1", "message_id": 7, "tags": ["red", "blue"]})
    two = await alice.uploads("reject", context={"conversation_id": "c1", "message_id": "8", "tags": "blue"})
    three = await alice.uploads(context={"conversation_id": {"odd": 1}, "tags": [{"odd": 1}, "red"]})
    times = {item["media_id"]: item["media"]["requested_at"] for item in (await alice.lists())["items"]}
    for query, found in {
        "conversation=c1": [two, one],
        "message=7": [one],
        "message=8": [two],
        "tag=blue": [two, one],
        "tag=red": [three, one],
        "kind=document": [one],
        "kind=unknown": [three, two],
        "state=pending": [three],
        "state=ready&kind=document&tag=red&conversation=c1&message=7": [one],
        "state=ready&tag=nothing": [],
        f"owner={alice.name}": [three, two, one],
        f"owner={alice.name}&state=rejected": [two],
        "owner=somebody": [],
        f"from={quote(times[two])}": [three, two],
        f"to={quote(times[two])}": [one],
        f"from={quote(times[two])}&to={quote(times[three])}": [two],
        "from=1900-01-01T00:00:00Z&to=9999-12-31T23:59:59%2B14:00": [three, two, one],
    }.items():
        assert await alice.sees(query) == found, query


async def test_a_listing_follows_the_state(gateway: Running, provisioned: ThreadedStack) -> None:
    """What was deleted is still listed, as deleted: who shows a conversation must know that something was there."""
    alice = Person(gateway, provisioned)
    media_id = await alice.uploads("finish")
    assert (await gateway.call("DELETE", f"/v1/media/{media_id}", token=alice.token)).status == 202
    await alice.recorded(media_id)
    assert await alice.sees("state=ready") == []
    assert await alice.sees("state=deleted") == await alice.sees() == [media_id]


async def test_pages_hold_everything_once(gateway: Running, provisioned: ThreadedStack) -> None:
    """With any limit the pages are the whole, in order, though new media come in between; a cursor bears repetition."""
    alice = Person(gateway, provisioned)
    uploaded = [await alice.uploads(context={"tags": [("even", "odd")[number % 2]]}) for number in range(9)]
    for limit, query, expected in ((1, "", uploaded), (4, "tag=odd&", uploaded[1::2]), (9, "tag=even&", uploaded[::2])):
        told: list[str] = []
        cursor = ""
        while cursor is not None:
            page = await alice.lists(f"{query}limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            assert len(page["items"]) <= limit
            told += [item["media_id"] for item in page["items"]]
            cursor = page["next"]
            if len(told) == 3:
                await alice.uploads(context={"tags": ["late"]})
        assert told == expected[::-1]


async def test_a_page_is_bounded_in_bytes_too(gateway: Running, provisioned: ThreadedStack) -> None:
    """Of media with the largest contexts a page has fewer, and the next goes on where it ended."""
    alice = Person(gateway, provisioned)
    largest = {"a": "\U0001f4a9" * 8100}
    uploaded = [await alice.uploads(context=largest) for _ in range(40)]
    first = await alice.lists("limit=100")
    assert 0 < len(first["items"]) < 40
    assert len(json.dumps(first, ensure_ascii=False).encode()) < LARGEST_BYTES * 1.1
    rest = await alice.sees(f"limit=100&cursor={first['next']}")
    assert [item["media_id"] for item in first["items"]] + rest == uploaded[::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        (f"limit={LARGEST_PAGE + 1}", "limit"),
        ("limit=many", "limit"),
        ("kind=film", "kind"),
        ("state=lost", "state"),
        ("state=ready&state=failed", "state"),
        ("from=yesterday", "from"),
        ("from=2026-01-02T03:04:05", "from"),
        ("to=2026-01-02T03:04:05+01:00", "to"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=" + "=" * 22, "cursor"),
        ("cursor=" + "%F0%9F%92%A9" * 22, "cursor"),
        ("cursor[$gt]=", "cursor[$gt]"),
        ("owner=", "owner"),
        ("tag=" + "x" * 9000, "tag"),
        ("colour=red", "colour"),
    ],
)
async def test_what_cannot_be_asked_is_named(gateway: Running, query: str, field: str) -> None:
    """A filter, limit or cursor that can't be is a 422 that names it and repeats nothing of it."""
    answer = await gateway.call("GET", f"/v1/media?{query}")
    assert answer.status == 422, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.body["errors"]] == [field]
    assert "xxxx" not in str(answer.body)


async def test_a_made_up_cursor_is_only_a_place(gateway: Running, provisioned: ThreadedStack) -> None:
    """A cursor from somebody else's page, or from another filter, shows nothing that the token doesn't."""
    alice, bob = Person(gateway, provisioned), Person(gateway, provisioned)
    early = await alice.uploads()
    theirs = await bob.uploads()
    assert await alice.sees(f"cursor={cursor_after(theirs)}") == [early]
    assert await alice.sees(f"cursor={'_' * 22}") == [early]
    assert await alice.sees(f"cursor={'A' * 22}") == []


async def test_a_second_of_two_gateways_clocks_is_one(gateway: Running, provisioned: ThreadedStack) -> None:
    """A media's id and `requested_at` name the same millisecond, so that a time finds the same as the field says."""
    alice = Person(gateway, provisioned)
    for _ in range(5):
        media_id = await alice.uploads()
        requested_at = datetime.fromisoformat((await alice.lists("limit=1"))["items"][0]["media"]["requested_at"])
        milliseconds = (requested_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        assert int(media_id[:8] + media_id[9:13], 16) == milliseconds


async def test_without_mongodb_nothing_is_listed(gateway: Running, provisioned: ThreadedStack) -> None:
    """With MongoDB frozen a listing is a 503 that says when to come again; uploads and status go on."""
    provisioned.mongo.freeze()
    try:
        async with asyncio.timeout(8):
            answer = await gateway.call("GET", "/v1/media")
        assert (await gateway.upload()).status == 201
    finally:
        provisioned.mongo.thaw()
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "MongoDB" in answer.body["detail"]
