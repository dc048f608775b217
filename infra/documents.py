"""The documents in MongoDB: one a media, what status calls read."""

import asyncio
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel, InsertOne, ReplaceOne, WriteConcern
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from infra.catalog import INDEXES, MOST_RESEMBLING, PARTIAL, Query, Resembling, Wanted, index_name
from infra.errors import DependencyDown
from infra.settings import Settings
from schemas.catalog import difference, owner_word
from schemas.document import Fold

COLLECTION: Final = "media"
DUPLICATE_KEY: Final = 11000
# "hint provided does not correspond to an existing index"
BAD_HINT: Final = 2
# A frozen mongod must turn into DependencyDown, not into a handler that never ends.
TIMEOUT_MS: Final = 5_000
PROBE_MS: Final = 2_000

Stored = dict[str, Any]
# A fold has all events of a media: a page of them would be megabytes.
_LISTED: Final = dict.fromkeys(("media", "state", "kind", "content_type", "code", "updated_at"), 1)


class Documents:
    """The collection of documents. Every method can raise `DependencyDown("mongo", …)`."""

    def __init__(self, url: str, database: str) -> None:
        self._client: AsyncMongoClient[Stored] = AsyncMongoClient(
            url,
            appname="tidegate",
            serverSelectionTimeoutMS=TIMEOUT_MS,
            connectTimeoutMS=PROBE_MS,
            socketTimeoutMS=TIMEOUT_MS,
            timeoutMS=TIMEOUT_MS,
            retryWrites=False,
        )
        # An event is acknowledged once its document is: it must be on disk by then.
        self._documents = self._client[database].get_collection(
            COLLECTION, write_concern=WriteConcern(w="majority", j=True)
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Connect (lazily) as this process is told to."""
        return cls(settings.mongo_url, settings.mongo_database)

    async def aclose(self) -> None:
        """Close every connection."""
        with translated():
            await self._client.close()

    async def alive(self) -> None:
        """Return if mongod answers within two seconds.

        Raises:
            DependencyDown: it doesn't.
        """
        with translated():
            await self._client.admin.command("ping", maxTimeMS=PROBE_MS)

    async def get(self, media_id: str) -> Fold | None:
        """The document's fold, None if there is none."""
        return (await self.folds([media_id])).get(media_id)

    async def folds(self, media_ids: Iterable[str]) -> dict[str, Fold]:
        """The folds of several media."""
        with translated():
            found = self._documents.find({"_id": {"$in": list(media_ids)}}, {"fold": 1})
            return {stored["_id"]: Fold.parse(stored["fold"]) async for stored in found}

    async def write(self, folds: Mapping[str, tuple[str | None, Fold]]) -> bool:
        """Write documents, each only if it is still the one it was made from.

        Args:
            folds: by media id, the digest of the document that was read (None: there was none) and the new fold.

        Returns:
            False if somebody else wrote one of them meanwhile: read, fold and write again. The others are written.
        """
        operations: list[InsertOne[Stored] | ReplaceOne[Stored]] = []
        replaced = 0
        for media_id, (digest, fold) in folds.items():
            document = fold.document()
            if digest is None:
                operations.append(InsertOne(document))
            else:
                replaced += 1
                operations.append(ReplaceOne({"_id": media_id, "digest": digest}, document))
        if not operations:
            return True
        with translated():
            try:
                result = await self._documents.bulk_write(operations, ordered=False)
            except BulkWriteError as error:
                if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]):
                    raise
                return False
        return result.matched_count == replaced

    async def page(self, wanted: Wanted, limit: int) -> list[Stored]:
        """The newest `limit` documents of what is wanted, newest first, without their folds.

        Raises:
            DependencyDown: also if an index is missing, which `tidegate provision` makes.
        """
        with translated():
            parts = await asyncio.gather(*(self._found(query, limit) for query in wanted.queries()))
        merged = {stored["_id"]: stored for part in parts for stored in part}
        return [merged[media_id] for media_id in sorted(merged, reverse=True)[:limit]]

    async def similar(self, wanted: Resembling, limit: int) -> list[tuple[int, Stored]]:
        """The documents of what looks most like a picture, each with how many bits differ, the nearest first.

        Raises:
            DependencyDown: also if the index is missing, which `tidegate provision` makes.
        """
        query = wanted.query()
        with translated():
            hashes = self._documents.find(query.filter, {"perceptual_hash": 1}, limit=MOST_RESEMBLING, hint=query.index)
            near = {
                stored["_id"]: bits
                for stored in await _answered(hashes, query.index)
                if (bits := difference(stored["perceptual_hash"], wanted.perceptual_hash)) <= wanted.different
            }
            # The newest first among those that are as near.
            nearest = sorted(sorted(near, reverse=True), key=lambda media_id: near[media_id])[:limit]
            found = {stored["_id"]: stored async for stored in self._documents.find({"_id": {"$in": nearest}}, _LISTED)}
        return [(near[media_id], found[media_id]) for media_id in nearest if media_id in found]

    async def _found(self, query: Query, limit: int) -> list[Stored]:
        found = self._documents.find(query.filter, _LISTED, sort={"_id": DESCENDING}, limit=limit, hint=query.index)
        return await _answered(found, query.index)

    async def pending(self, owner: str, at_most: int) -> int:
        """How many uploads of an owner have not come yet, counted to `at_most`."""
        query = {"readers": owner_word(owner), "state": "pending", "owner": owner}
        with translated():
            return await self._documents.count_documents(query, limit=at_most, hint=index_name("state"))

    async def provision(self) -> list[str]:
        """Make the indexes of listings, with an operator's credentials; the names of those that were missing."""
        with translated():
            known = await self._documents.index_information()
            wanted = [
                IndexModel(
                    [*((name, ASCENDING) for name in fields), ("_id", DESCENDING)],
                    name=index_name(asked),
                    **({"partialFilterExpression": PARTIAL[asked]} if asked in PARTIAL else {}),
                )
                for asked, fields in INDEXES.items()
                if index_name(asked) not in known
            ]
            return await self._documents.create_indexes(wanted) if wanted else []

    async def drop(self) -> None:
        """Drop the collection and make its indexes again (`tidegate replay --rebuild` makes its documents anew)."""
        with translated():
            await self._documents.drop()
        await self.provision()

    async def count(self) -> int:
        """How many documents there are."""
        with translated():
            return await self._documents.count_documents({})


async def _answered(found: AsyncCursor[Stored], index: str) -> list[Stored]:
    try:
        return await found.to_list()
    except OperationFailure as refusal:
        if refusal.code == BAD_HINT:
            raise DependencyDown("mongo", f"no index {index}: run `tidegate provision`") from refusal
        raise


@contextmanager
def translated() -> Generator[None]:
    """Raise pymongo's words for "it doesn't answer" as `DependencyDown`, and a cancellation that it swallowed.

    pymongo 4.20 returns from one cancelled request in three as if nothing had been asked of it: a time limit around it
    would be spent, and whatever it was to end would go on for ever.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task else 0
    try:
        yield
    except PyMongoError as error:
        if task and task.cancelling() > asked:
            raise asyncio.CancelledError from error
        if error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError):
            raise DependencyDown("mongo", str(error)[:300]) from error
        raise
    if task and task.cancelling() > asked:
        raise asyncio.CancelledError
