"""`record`: whatever order events come in, however often and to how many workers, the document is the same."""

import asyncio
import json
import random
import secrets
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from uuid_utils import uuid7

from functions.record import record
from infra.context import Context
from infra.documents import Documents
from infra.local.threaded import ThreadedStack
from infra.objects import Objects
from infra.records import read_record
from schemas.document import TERMINAL_STATES, CloudEvent, Fold
from schemas.objects import ObjectRef
from schemas.subjects import record_key
from tests.samples.documents import pdf
from tests.schemas.recording import RECORDED
from tests.system import System, connected, context, poll, provisioned, working

PERMUTATIONS = 1000
AT_ONCE = 50
WORKERS = 3


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack) as provided:
        yield provided


def recorded(name: str, media_id: str) -> list[CloudEvent]:
    """A recorded history, told of another media."""
    text = RECORDED.read_text()
    events: list[CloudEvent] = json.loads(text)[name]
    return json.loads(json.dumps(events).replace(events[0]["subject"], media_id))


def shares(events: list[CloudEvent], chance: random.Random) -> list[list[list[CloudEvent]]]:
    """The events in random order with duplicates, in batches of random size, dealt to the workers."""
    told = events + chance.choices(events, k=chance.randrange(len(events)))
    chance.shuffle(told)
    dealt: list[list[list[CloudEvent]]] = [[] for _ in range(WORKERS)]
    while told:
        size = chance.randint(1, 20)
        dealt[chance.randrange(WORKERS)].append(told[:size])
        del told[:size]
    return dealt


async def test_any_order_makes_one_document(system: System) -> None:
    """A thousand permutations with duplicates, over three workers at once, end in the same document and record.

    What is recorded: a first run, an overwrite, a dead letter and its retry, late copies and a replay; in the other
    history also a quarantine and a deletion.
    """
    seed = secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    async with connected(system) as services:
        contexts = [
            context(replace(services, documents=Documents.from_settings(services.settings))) for _ in range(WORKERS)
        ]
        slots = asyncio.Semaphore(AT_ONCE)

        async def permutation(number: int) -> None:
            media_id = str(uuid7())
            events = recorded("condemned" if number % 4 == 0 else "ready", media_id)
            dealt = shares(events, chance)
            async with slots:
                await asyncio.gather(*(_work(batches, ctx) for batches, ctx in zip(dealt, contexts, strict=True)))
                expected = Fold.of(media_id, events)
                stored = await services.documents.get(media_id)
                assert stored is not None
                assert stored.text() == expected.text()
                assert await _raw(system, media_id) == expected.text()

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(PERMUTATIONS):
                    group.create_task(permutation(number))
        finally:
            for ctx in contexts:
                await ctx.documents.aclose()


async def test_dropped_and_rebuilt_it_is_the_same(spare_stack: ThreadedStack) -> None:
    """The collection can be dropped: the records and the stream, each alone, give the same documents again."""
    async with provisioned(spare_stack) as system, working(system) as work:
        media_ids = [await system.upload(pdf()), await system.upload(b"\x7fELF" + bytes(99))]
        for media_id in media_ids:
            await system.ended(media_id)
        documents, objects = work.services.documents, work.services.objects
        expected = {media_id: await _settled(system, documents, media_id) for media_id in media_ids}
        ctx = context(work.services)
        operator = Documents.from_settings(system.settings)

        await operator.drop()
        assert not await documents.folds(media_ids)
        await record([event for media_id in media_ids for event in await system.events(media_id)], ctx)
        assert {media_id: await _text(documents, media_id) for media_id in media_ids} == expected

        await operator.drop()
        for media_id in media_ids:
            kept = await read_record(objects, media_id)
            assert kept is not None
            await record(kept.events(), ctx)
        assert {media_id: await _text(documents, media_id) for media_id in media_ids} == expected
        await operator.aclose()


async def test_record_is_kept_from_the_first_terminal_state_on(system: System) -> None:
    """Before a media ends there is no record; from then on it has all that the document has."""
    media_id = str(uuid7())
    events = recorded("ready", media_id)
    async with connected(system) as services:
        ctx = context(services)
        fold = Fold(media_id)
        for event in events:
            await record([event], ctx)
            fold.add(event)
            if fold.state() in TERMINAL_STATES:
                assert await _raw(system, media_id) == fold.text()
        assert await _raw(system, media_id) == fold.text()
        pending = str(uuid7())
        await record(recorded("ready", pending)[:2], ctx)
        assert await read_record(services.objects, pending) is None


async def test_writers_of_one_record_lose_nothing(system: System) -> None:
    """Two installations' halves of a history, merged into one record at once, are whole."""
    media_id = str(uuid7())
    events = recorded("condemned", media_id)
    async with connected(system) as services:
        contexts = [context(services) for _ in range(WORKERS)]
        deleted = events[-2:]
        await asyncio.gather(
            *(record([*deleted, event], ctx) for event, ctx in zip(events[:WORKERS], contexts, strict=True)),
            *(record([*deleted, event], contexts[0]) for event in events[WORKERS:-2]),
        )
    assert await _raw(system, media_id) == Fold.of(media_id, events).text()


async def test_events_of_the_future_are_kept(system: System) -> None:
    """An event that nobody here knows, with fields that nobody knows, is in the document as it came."""
    media_id = str(uuid7())
    stranger = recorded("ready", media_id)[1] | {
        "type": "tidegate.media.watermarked.v3",
        "part": "watermark",
        "futureextension": "x",
    }
    async with connected(system) as services:
        await record([stranger], context(services))
        stored = await services.documents.get(media_id)
    assert stored is not None
    assert stored.cells["watermark"] == stranger


async def _work(batches: list[list[CloudEvent]], ctx: Context) -> None:
    for batch in batches:
        await record(batch, ctx)


async def _raw(system: System, media_id: str) -> bytes:
    return await _get(system.objects, ObjectRef(bucket=system.settings.bucket, key=record_key(media_id), size=0))


async def _get(objects: Objects, ref: ObjectRef) -> bytes:
    return await objects.get(ref)


async def _text(documents: Documents, media_id: str) -> bytes:
    fold = await documents.get(media_id)
    return fold.text() if fold else b""


async def _settled(system: System, documents: Documents, media_id: str) -> bytes:
    """Wait until `record` is done with all that was said: the document is written first, then the record."""
    expected = (await system.fold(media_id)).text()

    async def recorded_all() -> bool:
        if await _text(documents, media_id) != expected:
            return False
        kept = await read_record(system.objects, media_id)
        return kept is not None and kept.text() == expected

    await poll(recorded_all)
    return expected
