"""Every filter of a listing has an index behind it: MongoDB says so itself."""

import itertools
import json
import random
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from uuid_utils import uuid7

from infra.catalog import INDEXES, READERS_AT_ONCE, Resembling, Wanted, index_name
from infra.documents import COLLECTION, Documents
from infra.errors import DependencyDown
from infra.local.threaded import ThreadedStack
from schemas.catalog import MOST_DIFFERENT, audience_word, difference, owner_word
from schemas.document import Fold

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEDIA = 400
DESCRIBED = 300
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
FILTERS: dict[str, Any] = {
    "owner": "owner1",
    "kind": "unknown",
    "state": "pending",
    "conversation": "c1",
    "message": "m1",
    "tag": "t1",
    "audience": "group1",
    "since": NOW - timedelta(seconds=300),
    "until": NOW - timedelta(seconds=10),
}
EVERYBODY = tuple(audience_word(f"group{number}") for number in range(250))


def described(number: int) -> dict[str, Any]:
    """What a media looks like: each hash is near some others, and far from most."""
    media_id = EVENTS[number]["subject"]
    description = {"type": "image", "thumbhash": "AAAA", "color": "#000000", "perceptual_hash": HASHES[number]}
    media = EVENTS[number]["data"]["media"]
    return {
        "id": f"described {media_id}",
        "type": "tidegate.media.done.v1",
        "subject": media_id,
        "time": EVENTS[number]["time"],
        "run": "0",
        "part": "description",
        "data": {"media": media, "product": "description", "description": description},
    }


def event(number: int) -> dict[str, Any]:
    """A media that somebody requested, one a second before now."""
    when = NOW - timedelta(seconds=number)
    media_id = str(uuid7(nanoseconds=int(when.timestamp()) * 10**9 + 678 * 10**6))
    media = {
        "media_id": media_id,
        "owner": f"owner{number % 3}",
        "audience": [f"group{number % 5}", f"group{number % 7}"],
        "requested_at": when.isoformat(),
        "context": {
            "conversation_id": f"c{number % 4}",
            "message_id": f"m{number % 50}",
            "tags": [f"t{number % 2}", f"t{number % 6}"],
        },
    }
    return {
        "id": media_id,
        "type": "tidegate.media.requested.v1",
        "subject": media_id,
        "time": when.isoformat(),
        "run": "0",
        "part": "gateway",
        "data": {"media": media},
    }


def _hashes() -> list[str]:
    """Of one in ten bits differ from another's that came before, in a few."""
    chance, made = random.Random(7), [0]
    while len(made) < MEDIA:
        near = chance.choice(made) if chance.random() < 0.7 else chance.getrandbits(64)
        made.append(near ^ sum(1 << bit for bit in chance.sample(range(64), chance.randrange(13))))
    return [f"{value:016x}" for value in made]


EVENTS = [event(number) for number in range(MEDIA)]
HASHES = _hashes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def documents(stack: ThreadedStack) -> AsyncGenerator[Documents]:
    """A few hundred media, and the gateway's rights."""
    settings = stack.settings("operator")
    async with aclosing(Documents.from_settings(settings)) as operator:
        assert sorted(await operator.provision()) == sorted(map(index_name, INDEXES))
        assert await operator.provision() == []
        await operator.write({each["subject"]: (None, Fold.of(each["subject"], [each])) for each in EVENTS})
        folds = await operator.folds(each["subject"] for each in EVENTS[:DESCRIBED])
        changed: dict[str, tuple[str | None, Fold]] = {}
        for number in range(DESCRIBED):
            fold = folds[EVENTS[number]["subject"]]
            changed[fold.media_id] = fold.digest(), fold
            fold.add(described(number))
        assert await operator.write({media_id: (digest, fold) for media_id, (digest, fold) in changed.items()})
    async with aclosing(Documents.from_settings(stack.settings("gateway"))) as gateway:
        yield gateway
    async with aclosing(Documents.from_settings(settings)) as operator:
        await operator.drop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collection(stack: ThreadedStack, documents: Documents) -> AsyncGenerator[AsyncCollection[dict[str, Any]]]:
    """The collection itself, for who may explain."""
    settings = stack.settings("operator")
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_url) as client:
        yield client[settings.mongo_database][COLLECTION]


def stages(plan: object) -> set[str]:
    """Every stage of a plan."""
    return set(re.findall(r'"stage": "(\w+)"', json.dumps(plan, default=str)))


@pytest.mark.parametrize("count", [0, 1, 2, len(FILTERS)])
async def test_every_filter_has_an_index(collection: AsyncCollection[dict[str, Any]], count: int) -> None:
    """Alone, in pairs and all together, for few readers and for many: index scans, no other scan, nothing sorted."""
    for names in itertools.combinations(FILTERS, count):
        for readers in ((owner_word("owner1"),), (owner_word("owner1"), *EVERYBODY)):
            wanted = Wanted(readers=readers, before=EVENTS[5]["subject"], **{name: FILTERS[name] for name in names})
            for query in wanted.queries():
                found = collection.find(query.filter, sort={"_id": -1}, limit=11, hint=query.index)
                explained = await found.explain()
                used = stages(explained["queryPlanner"]["winningPlan"])
                assert "IXSCAN" in used, (names, used)
                assert not {"COLLSCAN", "SORT", "SORT_KEY_GENERATOR"} & used, (names, used)


@pytest.mark.parametrize("name", [name for name in INDEXES if name not in {"time", "looks"}])
async def test_a_filter_reads_what_it_answers(collection: AsyncCollection[dict[str, Any]], name: str) -> None:
    """With its own index a filter reads no media but those of the page, and few keys more."""
    (query,) = Wanted(readers=(owner_word("owner1"), audience_word("group1")), **{name: FILTERS[name]}).queries()
    found = collection.find(query.filter, sort={"_id": -1}, limit=2, hint=query.index)
    spent = (await found.explain())["executionStats"]
    assert query.index == index_name(name)
    assert spent["nReturned"] == 2
    assert spent["totalDocsExamined"] <= 2 * 2
    assert spent["totalKeysExamined"] <= 10


@pytest.mark.parametrize("different", [0, 3, 4, MOST_DIFFERENT])
async def test_what_looks_alike_is_found(documents: Documents, different: int) -> None:
    """Exactly what a look at each hash finds of the same owner's, if the caller may see it, the nearest first."""
    readers = (owner_word("owner1"), audience_word("group1"))
    found_any = 0
    for number in range(0, DESCRIBED, 7):
        media_id, owner = EVENTS[number]["subject"], f"owner{number % 3}"
        wanted = Resembling(readers, owner, media_id, HASHES[number], different)
        found = [(bits, stored["_id"]) for bits, stored in await documents.similar(wanted, DESCRIBED)]
        alike = {
            each["subject"]: difference(HASHES[other], HASHES[number])
            for other, each in enumerate(EVENTS[:DESCRIBED])
            if other != number and other % 3 == number % 3
            if owner == "owner1" or "group1" in each["data"]["media"]["audience"]
        }
        assert {one: bits for bits, one in found} == {one: bits for one, bits in alike.items() if bits <= different}
        assert [bits for bits, _ in found] == sorted(bits for bits, _ in found)
        assert await documents.similar(wanted, 1) == (await documents.similar(wanted, DESCRIBED))[:1]
        found_any += len(found)
    assert found_any > 0 or different == 0


async def test_looks_have_an_index(collection: AsyncCollection[dict[str, Any]], documents: Documents) -> None:
    """An index scan over the owner's pictures alone, few of which are looked at."""
    query = Resembling(EVERYBODY, "owner1", EVENTS[1]["subject"], HASHES[1], MOST_DIFFERENT).query()
    explained = await collection.find(query.filter, hint=query.index).explain()
    used, spent = stages(explained["queryPlanner"]["winningPlan"]), explained["executionStats"]
    assert "IXSCAN" in used
    assert "COLLSCAN" not in used
    assert query.index == index_name("looks")
    assert spent["totalDocsExamined"] < DESCRIBED / 3 / 2


@pytest.mark.parametrize("count", [0, 1, 2, len(FILTERS)])
async def test_filters_find_what_they_say(documents: Documents, count: int) -> None:
    """Every combination finds what a look at each media finds, newest first."""
    for names in itertools.combinations(FILTERS, count):
        readers = (owner_word("owner2"), audience_word("group1"), audience_word("group2"))
        wanted = Wanted(readers=readers, **{name: FILTERS[name] for name in names})
        found = [document["_id"] for document in await documents.page(wanted, MEDIA)]
        assert found == [each["subject"] for each in EVENTS if _is_wanted(each["data"]["media"], names)], names
        assert found or count > 2


def _is_wanted(media: dict[str, Any], names: tuple[str, ...]) -> bool:
    when, context = datetime.fromisoformat(media["requested_at"]), media["context"]
    true: dict[str, bool] = {
        "owner": media["owner"] == "owner1",
        "kind": True,
        "state": True,
        "conversation": context["conversation_id"] == "c1",
        "message": context["message_id"] == "m1",
        "tag": "t1" in context["tags"],
        "audience": "group1" in media["audience"],
        "since": when >= FILTERS["since"],
        "until": when < FILTERS["until"],
    }
    visible = media["owner"] == "owner2" or {"group1", "group2"} & set(media["audience"])
    return bool(visible) and all(true[name] for name in names)


async def test_who_is_in_many_conversations_pages_through_all(documents: Documents) -> None:
    """Readers are asked for a hundred at a time, and the answers merged: nothing twice, nothing missing, in order."""
    readers = (*EVERYBODY[READERS_AT_ONCE:], *EVERYBODY[:READERS_AT_ONCE], owner_word("owner1"))
    told: list[str] = []
    while page := await documents.page(Wanted(readers=readers, before=told[-1] if told else None), 17):
        told += [document["_id"] for document in page]
    assert told == [each["subject"] for each in EVENTS]


async def test_a_missing_index_is_named(stack: ThreadedStack, documents: Documents) -> None:
    """Without its index nothing is read another way: it says what to do."""
    settings = stack.settings("operator")
    async with (
        AsyncMongoClient[dict[str, Any]](settings.mongo_url) as client,
        aclosing(Documents.from_settings(settings)) as operator,
    ):
        await client[settings.mongo_database][COLLECTION].drop_index(index_name("kind"))
        with pytest.raises(DependencyDown, match="tidegate provision"):
            await documents.page(Wanted(readers=("owner a",), kind="image"), 10)
        assert await operator.provision() == [index_name("kind")]


async def test_a_dropped_collection_keeps_its_indexes(stack: ThreadedStack) -> None:
    """What `tidegate replay --rebuild` drops can be listed while it is made anew."""
    async with aclosing(Documents.from_settings(stack.settings("operator"))) as operator:
        await operator.drop()
        assert await operator.page(Wanted(readers=EVERYBODY, tag="t1"), 10) == []
        assert await operator.provision() == []
