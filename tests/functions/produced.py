"""What came of a media's products, as a client finds it: events and objects."""

import hashlib
from typing import Any

from schemas.document import CloudEvent, event_name
from schemas.events import Promoted
from schemas.objects import ObjectRef
from schemas.renditions import rendition_key
from tests.system import System


async def outcomes(system: System, media_id: str) -> dict[str, CloudEvent]:
    """How each promised product ended."""
    fold = await system.fold(media_id)
    ended = fold.products()
    assert None not in ended.values(), ended
    return {name: event for name, event in ended.items() if event is not None}


async def files(system: System, ended: CloudEvent) -> dict[str, bytes]:
    """The files of a product that is done: each lies where its name says, and is what the event says of it."""
    assert event_name(ended) == "done", ended
    found: dict[str, bytes] = {}
    for each in ended["data"]["renditions"]:
        key = rendition_key(ended["subject"], each["name"])
        body = await system.objects.get(ObjectRef(bucket=system.settings.bucket, key=key, size=each["size"]))
        info = await system.objects.head(key)
        assert info is not None
        assert info.content_type == each["content_type"]
        assert (len(body), hashlib.sha256(body).hexdigest()) == (each["size"], each["sha256"])
        found[each["name"]] = body
    return found


async def made(system: System, media_id: str) -> dict[str, bytes]:
    """Every file of every product."""
    found: dict[str, bytes] = {}
    for ended in (await outcomes(system, media_id)).values():
        found |= await files(system, ended)
    return found


async def promoted(system: System, media_id: str) -> Promoted:
    """What the functions of products take."""
    event = await system.event(media_id, "promoted")
    assert event is not None
    data: dict[str, Any] = event["data"]
    return Promoted.model_validate(data)
