"""Who stands still, as MongoDB knows it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import AsyncMongoClient

from cli.unfinished import FILM_SECONDS, stuck
from infra.documents import COLLECTION
from infra.local.threaded import ThreadedStack


def _document(name: str, kind: str, state: str, seconds: float) -> dict[str, Any]:
    updated = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    return {"_id": name, "kind": kind, "state": state, "updated_at": updated, "media": {"media_id": name}}


async def test_a_film_is_given_time(stack: ThreadedStack) -> None:
    """A picture of which nothing was heard for ten minutes stands still; a film may be encoded for hours."""
    settings = stack.settings("operator")
    documents = [
        _document("a picture", "image", "processing", 700),
        _document("a film", "video", "processing", 700),
        _document("a lost film", "video", "processing", FILM_SECONDS + 60),
        _document("a new file", "unknown", "uploaded", 500),
        _document("an old file", "unknown", "uploaded", 700),
        _document("a made film", "video", "ready", 700_000),
    ]
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_url) as client:
        collection = client[settings.mongo_database][COLLECTION]
        await collection.delete_many({})
        await collection.insert_many(documents)
        assert set(await stuck(settings, 600)) == {"a picture", "a lost film", "an old file"}
        await collection.delete_many({})
