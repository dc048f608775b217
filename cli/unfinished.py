"""Media that stand still: what `record` last said of them is older than it should be."""

from datetime import UTC, datetime, timedelta

from pymongo import AsyncMongoClient

from infra.documents import COLLECTION
from infra.settings import Settings

TIMEOUT_MS = 3_000
MOVING = ("uploaded", "processing")


async def stuck(settings: Settings, seconds: float, at_most: int = 100) -> list[str]:
    """Ids of media on their way whose newest event is older than so many seconds.

    Raises:
        pymongo.errors.PyMongoError: MongoDB does not answer, or refuses.
    """
    before = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    async with AsyncMongoClient[dict[str, str]](
        settings.mongo_url, serverSelectionTimeoutMS=TIMEOUT_MS, timeoutMS=TIMEOUT_MS
    ) as client:
        found = client[settings.mongo_database][COLLECTION].find(
            {"state": {"$in": MOVING}, "updated_at": {"$lt": before}}, {"_id": 1}
        )
        return [document["_id"] async for document in found.limit(at_most)]
