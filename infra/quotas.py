"""What each owner asked to upload, counted in MongoDB so that every gateway knows: one operation an upload."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from pymongo import AsyncMongoClient, IndexModel, WriteConcern
from pymongo.errors import DuplicateKeyError

from infra.documents import translated
from infra.settings import Settings

QUOTAS: Final = "quotas"
# Whoever asks for an upload waits for it.
TIMEOUT_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an owner may ask for in one window of `seconds`; 0: any number."""

    uploads: int
    size: int
    seconds: int

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """When the window of a time began and will end."""
        begun = datetime.fromtimestamp(int(now.timestamp()) // self.seconds * self.seconds, UTC)
        return begun, begun + timedelta(seconds=self.seconds)


class Quotas:
    """A counter for each owner and window. Every method can raise `DependencyDown("mongo", …)`.

    A count that was lost with a crash of mongod's machine is a few uploads for nothing: it waits for no disk.
    """

    def __init__(self, url: str, database: str, allowance: Allowance) -> None:
        self.allowance = allowance
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            url, appname="tidegate quotas", timeoutMS=TIMEOUT_MS, serverSelectionTimeoutMS=TIMEOUT_MS, retryWrites=False
        )
        self._counters = self._client[database].get_collection(QUOTAS, write_concern=WriteConcern(w=1, j=False))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Connect (lazily) as this process is told to."""
        allowance = Allowance(settings.quota_uploads, settings.quota_bytes, settings.quota_window_seconds)
        return cls(settings.mongo_url, settings.mongo_database, allowance)

    async def aclose(self) -> None:
        """Close every connection."""
        with translated():
            await self._client.close()

    async def take(self, owner: str, size: int, now: datetime) -> bool:
        """Count an upload if it still fits into its owner's window; two gateways never give the last one twice."""
        may = self.allowance
        if may.size and size > may.size:
            return False
        begun, end = may.window(now)
        fits: dict[str, Any] = {"_id": _counter(owner, begun)}
        fits |= {"uploads": {"$lt": may.uploads}} if may.uploads else {}
        fits |= {"size": {"$lte": may.size - size}} if may.size else {}
        # Longer than the window: MongoDB looks once a minute, and clocks differ.
        change = {"$inc": {"uploads": 1, "size": size}, "$setOnInsert": {"expires_at": end + timedelta(hours=1)}}
        with translated():
            try:
                await self._counters.update_one(fits, change, upsert=True)
            except DuplicateKeyError:
                # There is a counter that doesn't fit, or another gateway has made it just now.
                return (await self._counters.update_one(fits, change)).matched_count > 0
        return True

    async def give_back(self, owner: str, size: int, now: datetime) -> None:
        """Uncount an upload that came to nothing."""
        begun, _ = self.allowance.window(now)
        with translated():
            await self._counters.update_one({"_id": _counter(owner, begun)}, {"$inc": {"uploads": -1, "size": -size}})

    async def provision(self) -> list[str]:
        """Let MongoDB forget old counters, with an operator's credentials; the indexes that were missing."""
        name = "forgotten"
        with translated():
            if name in await self._counters.index_information():
                return []
            return await self._counters.create_indexes([IndexModel("expires_at", name=name, expireAfterSeconds=0)])


def _counter(owner: str, begun: datetime) -> str:
    return f"{begun:%Y%m%dT%H%M%S} {owner}"
