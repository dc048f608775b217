"""The adapter to MongoDB where its driver doesn't do as asyncio has it."""

import asyncio
import gc
import random
import secrets
import time

import pytest

from infra.documents import Documents
from infra.local.threaded import ThreadedStack

CANCELLED = 60
NOBODY = "01a22967-10cd-7188-a9ea-8a25296aa2a7"


# What pymongo was connecting when it was cancelled it leaves to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_is_cancelled_is_cancelled(stack: ThreadedStack) -> None:
    """Whenever a request is cancelled it ends so, and no time limit is spent on one that goes on: pymongo's own do."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201
    chance, settings = random.Random(seed), stack.settings("functions")

    begun = time.monotonic()
    first = Documents.from_settings(settings)
    await first.get(NOBODY)
    lasts = time.monotonic() - begun
    await first.aclose()
    stopped = 0
    while stopped < CANCELLED:
        documents = Documents.from_settings(settings)
        task = asyncio.create_task(documents.get(NOBODY))
        await asyncio.sleep(chance.uniform(0, lasts))
        asked = task.cancel()
        await asyncio.wait([task])
        await documents.aclose()
        assert task.cancelled() == asked
        stopped += asked
    gc.collect()
