"""The documents in MongoDB: one a media, what status calls read."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

from pymongo import AsyncMongoClient, InsertOne, ReplaceOne, WriteConcern
from pymongo.errors import BulkWriteError, ConnectionFailure, ExecutionTimeout, PyMongoError, WTimeoutError

from infra.errors import DependencyDown
from infra.settings import Settings
from schemas.document import Fold

COLLECTION: Final = "media"
DUPLICATE_KEY: Final = 11000
# A frozen mongod must turn into DependencyDown, not into a handler that never ends.
TIMEOUT_MS: Final = 5_000
PROBE_MS: Final = 2_000

Stored = dict[str, Any]


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
        await self._client.close()

    async def alive(self) -> None:
        """Return if mongod answers within two seconds.

        Raises:
            DependencyDown: it doesn't.
        """
        with _translated():
            await self._client.admin.command("ping", maxTimeMS=PROBE_MS)

    async def get(self, media_id: str) -> Fold | None:
        """The document's fold, None if there is none."""
        return (await self.folds([media_id])).get(media_id)

    async def folds(self, media_ids: Iterable[str]) -> dict[str, Fold]:
        """The folds of several media."""
        with _translated():
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
        with _translated():
            try:
                result = await self._documents.bulk_write(operations, ordered=False)
            except BulkWriteError as error:
                if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]):
                    raise
                return False
        return result.matched_count == replaced

    async def drop(self) -> None:
        """Drop the collection (`tidegate replay --rebuild` makes it anew)."""
        with _translated():
            await self._documents.drop()

    async def count(self) -> int:
        """How many documents there are."""
        with _translated():
            return await self._documents.count_documents({})


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
        raise DependencyDown("mongo", str(error)[:300]) from error
    except PyMongoError as error:
        if error.timeout:
            raise DependencyDown("mongo", str(error)[:300]) from error
        raise
