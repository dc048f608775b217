"""SIGKILL at every point of every function that makes a product: made again, it is whole, and nothing is left over."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from bench import media
from events.registry import load
from infra.local.threaded import ThreadedStack
from schemas.document import Fold, event_name
from schemas.events import Done
from schemas.renditions import PRODUCTS, rendition_key
from tests.faults.outcome import dead, quiet
from tests.faults.points import points
from tests.faults.test_failpoints import ACK_WAIT_SECONDS, campaign
from tests.samples.documents import unique_pdf
from tests.system import System, poll

EVERYTHING = {
    f"{field}__{product}": "required"
    for field, kind in (("images", "image"), ("video", "video"), ("audio", "audio"), ("documents", "document"))
    for product in PRODUCTS[kind]
}
CUT = {"video__chunk_seconds": 1.5, "video__segment_seconds": 1, "images__formats": '["jpeg"]'}
"""A film of three seconds has two pieces."""
RUNTIMES = frozenset(
    {
        *("taken", "handled", "published", "partly_acked", "acked"),
        *("counted", "buried", "announced", "forgotten", "cleared"),
    }
)
"""Points of every delivery, whoever works on it: the functions of the way are killed there."""
PATIENCE = 240.0


@pytest.mark.faults
async def test_makers_are_killed_at_each_of_their_points(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """Every media is ready with all that is promised, each file as its event says, and no piece is left in work/."""
    makers = {function.name for function in load() if function.products}
    targets = {
        point for point in points() if point.partition(".")[0] in makers and point.partition(".")[2] not in RUNTIMES
    }
    assert len(targets) >= 10
    changes: dict[str, Any] = {**EVERYTHING, **CUT, "suspect_after": 1000, "attempts": 5}
    names = [function.name for function in load()]
    async with campaign(own_stack, tmp_path / "victims", targets, names, **changes) as (run, victims):
        await victims.start()
        media_ids = await _wave(run.system, 1)
        deadline = time.monotonic() + PATIENCE
        while targets - run.died:
            assert time.monotonic() < deadline, f"no process reached {sorted(targets - run.died)}"
            try:
                await poll(lambda: targets <= run.died, patience=20 * ACK_WAIT_SECONDS)
            except TimeoutError:
                media_ids += await _wave(run.system, len(media_ids))
        for media_id in media_ids:
            await run.system.until(media_id, "ready", patience=PATIENCE)
        await poll(lambda: quiet(run.system), 60)
        assert await dead(run.system) == []
        for media_id in media_ids:
            await _whole(run.system, media_id)


async def _wave(system: System, number: int) -> list[str]:
    """One of each kind."""
    film, sound = await asyncio.to_thread(media.mp4, 3), await asyncio.to_thread(media.mp3)
    return [
        await system.upload(media.photo(), "image/jpeg"),
        await system.upload(film, "video/mp4"),
        await system.upload(sound, "audio/mpeg"),
        await system.upload(unique_pdf(number, size=20_000)),
    ]


async def _whole(system: System, media_id: str) -> None:
    fold: Fold = await system.fold(media_id)
    assert fold.state() == "ready"
    outcomes = fold.products()
    assert outcomes
    named = set[str]()
    for product, outcome in outcomes.items():
        assert outcome is not None, product
        assert event_name(outcome) == "done", outcome
        for made in Done.model_validate(outcome["data"]).renditions:
            named.add(rendition_key(media_id, made.name))
            info = await system.objects.head(rendition_key(media_id, made.name))
            assert info is not None, made
            assert info.size == made.size
    keys = {key for key in await system.keys(media_id) if not key.startswith("records/")}
    left = {key for key in keys - named if "/stream/" not in key and "/original." not in key}
    assert left == set()
