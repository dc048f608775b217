"""Media that stand still: what `record` last said of them is older than it should be."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import AsyncMongoClient

from infra.documents import COLLECTION
from infra.settings import Settings

TIMEOUT_MS = 3_000
MOVING = ("uploaded", "processing")
FILM_SECONDS = 4 * 3600.0
"""How long a video may be encoded without a word in its document, which doesn't count its pieces."""


async def stuck(settings: Settings, seconds: float, at_most: int = 100) -> list[str]:
    """Ids of media on their way whose newest event is older than so many seconds, or a video's than `FILM_SECONDS`.

    Raises:
        pymongo.errors.PyMongoError: MongoDB does not answer, or refuses.
    """
    videos = {"kind": "video", **_older(max(seconds, FILM_SECONDS))}
    others = {"kind": {"$ne": "video"}, **_older(seconds)}
    async with AsyncMongoClient[dict[str, str]](
        settings.mongo_url, serverSelectionTimeoutMS=TIMEOUT_MS, timeoutMS=TIMEOUT_MS
    ) as client:
        found = client[settings.mongo_database][COLLECTION].find(
            {"state": {"$in": MOVING}, "$or": [videos, others]}, {"_id": 1}
        )
        return [document["_id"] async for document in found.limit(at_most)]


def _older(seconds: float) -> dict[str, Any]:
    return {"updated_at": {"$lt": (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")}}
