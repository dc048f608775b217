"""From MinIO's notification to `uploaded`: the first version under a key is the media, whoever says it how often."""

import re
from uuid import NAMESPACE_URL, uuid5

from events.envelope import Envelope
from events.registry import Because, First, function
from infra.context import Context
from infra.records import read_record
from schemas.document import CloudEvent, event_name
from schemas.events import Failed, Overwritten, Rejected, Uploaded
from schemas.media import Media
from schemas.notification import Notification
from schemas.objects import ObjectRef
from schemas.subjects import happened

UNVERSIONED = "null"
"""S3's name for the one version of an object where none are kept."""

_KEY = re.compile(r"temp/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@function(on=Notification, timeout=30, concurrency=16)
async def receive(
    event: Notification, ctx: Context
) -> First[Because[Uploaded]] | Because[Overwritten] | Because[Failed] | Rejected | None:
    """Join a notification with what was requested, and name the version that counts."""
    if event.bucket != ctx.settings.bucket:
        return None
    found = ObjectRef(bucket=event.bucket, key=event.key, version_id=event.version_id or UNVERSIONED, size=event.size)
    key = _KEY.fullmatch(event.key)
    if key is None:
        return _foreign(str(uuid5(NAMESPACE_URL, event.key)), found)
    media_id = key[1]
    known = await _known(media_id, ctx)
    if "receive" in known:
        return _late(known["receive"], found)
    if "gateway" not in known:
        return _foreign(media_id, found)
    if found.version_id == UNVERSIONED:
        return _unversioned(known["gateway"], found)

    async def lost() -> Because[Overwritten] | None:
        winner = await ctx.history.last(happened("uploaded", media_id))
        return _late(winner[0], found)

    uploaded = Uploaded(
        media=Media.model_validate(known["gateway"]["data"]["media"]), object=found, uploaded_at=event.time
    )
    requested = Envelope.model_validate(known["gateway"])
    return First(Because(uploaded, requested), among=happened("uploaded", media_id), otherwise=lost)


async def _known(media_id: str, ctx: Context) -> dict[str, CloudEvent]:
    """What the gateway and this function said of a media, by part; the record remembers what the stream forgot."""
    past = await ctx.history.last(happened("requested", media_id), happened("uploaded", media_id))
    if not past:
        record = await read_record(ctx.objects, media_id)
        past = record.events() if record else []
    return {event["part"]: event for event in past if event_name(event) in {"requested", "uploaded"}}


def _unversioned(requested: CloudEvent, found: ObjectRef) -> Because[Failed]:
    """Without a version nobody can say that what is scanned is what is promoted."""
    failed = Failed(
        media=Media.model_validate(requested["data"]["media"]),
        function="receive",
        code="unversioned",
        error="The bucket keeps no versions under temp/: run `tidegate provision`, then upload the file again.",
        object=found,
    )
    return Because(failed, Envelope.model_validate(requested))


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
