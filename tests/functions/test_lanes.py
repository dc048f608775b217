"""Lanes from the door to `ready`: who pays for premium doesn't wait for all that came in bulk before."""

import asyncio

from events.registry import load
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from schemas.events import Identified, Probed, Promoted, Ready, Scanned, Uploaded
from schemas.profiles import ImageProfile
from tests.samples import images
from tests.system import provisioned, working

BULK = 40
WAY = (Uploaded, Identified, Scanned, Probed, Promoted, Ready)
QUICK = {"receive", "promote", "finish", "read_tags", "read_excerpt"}
"""Milliseconds each, and lanes cost one: nobody waits there for long."""


async def test_premium_passes_bulk(stack: ThreadedStack) -> None:
    """A picture in lane premium is ready before most of those that were uploaded in bulk before it."""
    body = images.real("rocket")
    async with provisioned(stack) as system:
        async with working(system, ["receive"]):
            bulk = [await system.upload(body, "image/jpeg", lane="bulk") for _ in range(BULK)]
            premium = await system.upload(body, "image/jpeg", lane="premium")
            await asyncio.gather(*(system.happens(media_id, "uploaded") for media_id in (*bulk, premium)))
        async with working(system, images=ImageProfile()):
            assert event_name(await system.ended(premium)) == "ready"
            before = [await system.event(media_id, "ready") for media_id in bulk]
            assert sum(event is not None for event in before) < BULK / 2
            await asyncio.gather(*(system.happens(media_id, "ready", patience=120) for media_id in bulk))


def test_whatever_takes_long_has_lanes() -> None:
    """One function without, on the way to `ready`, and premium would wait there for all of bulk."""
    on_the_way = {
        function.name: function.lanes
        for function in load()
        if function.products or any(issubclass(model, WAY) for model in function.outputs)
    }
    assert {name for name, lanes in on_the_way.items() if not lanes} == QUICK
