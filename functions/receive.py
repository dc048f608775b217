"""From MinIO's notification to `uploaded`: the first version under a key is the media, whoever says it how often."""

import re
from uuid import NAMESPACE_URL, uuid5

from events.envelope import Envelope
from events.registry import Because, First, function
from infra.context import Context
from schemas.document import CloudEvent
from schemas.events import Overwritten, Rejected, Uploaded
from schemas.media import Media
from schemas.notification import Notification
from schemas.objects import ObjectRef
from schemas.subjects import happened

_KEY = re.compile(r"temp/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@function(on=Notification, timeout=30, concurrency=16)
async def receive(
    event: Notification, ctx: Context
) -> First[Because[Uploaded]] | Because[Overwritten] | Rejected | None:
    """Join a notification with what was requested, and name the version that counts."""
    if event.bucket != ctx.settings.bucket:
        return None
    found = ObjectRef(bucket=event.bucket, key=event.key, version_id=event.version_id or None, size=event.size)
    key = _KEY.fullmatch(event.key)
    if key is None:
        return _foreign(str(uuid5(NAMESPACE_URL, event.key)), found)
    media_id = key[1]
    past = await ctx.history.last(happened("requested", media_id), happened("uploaded", media_id))
    known = {item["part"]: item for item in past if item["run"] == "0"}
    if "receive" in known:
        return _late(known["receive"], found)
    if "gateway" not in known:
        return _foreign(media_id, found)

    async def lost() -> Because[Overwritten] | None:
        winner = await ctx.history.last(happened("uploaded", media_id))
        return _late(winner[0], found)

    uploaded = Uploaded(
        media=Media.model_validate(known["gateway"]["data"]["media"]), object=found, uploaded_at=event.time
    )
    requested = Envelope.model_validate(known["gateway"])
    return First(Because(uploaded, requested), among=happened("uploaded", media_id), otherwise=lost)


def _late(winner: CloudEvent, found: ObjectRef) -> Because[Overwritten] | None:
    """Somebody was first: a second copy of the same notification is done, another version has lost."""
    version = winner["data"]["object"]["version_id"]
    if version == found.version_id:
        return None
    media = Media.model_validate(winner["data"]["media"])
    return Because(Overwritten(media=media, object=found, winner=version), Envelope.model_validate(winner))


def _foreign(media_id: str, found: ObjectRef) -> Rejected:
    media = Media(media_id=media_id, filename=found.key, content_type="application/octet-stream", size=found.size)
    return Rejected(
        media=media,
        object=found,
        function="receive",
        code="foreign",
        reason="Nobody requested this upload: ask POST /v1/uploads for a URL and upload to it.",
    )
