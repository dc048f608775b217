"""The only one who deletes: what is promoted, refused, lost or removed leaves nothing behind."""

from collections.abc import Callable

from events.failpoints import failpoint
from events.registry import function
from infra.context import Context
from infra.errors import Gone
from infra.objects import SOURCE_SHA256, SOURCE_VERSION
from infra.video.package import FOLDER, PLAN
from infra.video.playlists import MASTER
from schemas.document import TOMBSTONES, event_name
from schemas.events import (
    Deleted,
    Discarded,
    Done,
    Encoded,
    Failed,
    MediaEvent,
    Overwritten,
    Playable,
    Promoted,
    Quarantined,
    Rejected,
    Skipped,
)
from schemas.objects import ObjectRef
from schemas.plan import mark, marked, work_key
from schemas.renditions import StreamDescription, rendition_key
from schemas.subjects import happened, quarantine_key, temp_key


@function(
    on=Promoted | Rejected | Quarantined | Overwritten | Deleted | Encoded | Playable | Done | Skipped | Failed,
    timeout=300,
    concurrency=8,
    announces_failure=False,
)
async def discard(event: MediaEvent, ctx: Context) -> Discarded | None:
    """Delete the objects that this event made needless."""
    media_id = event.media.media_id
    match event:
        case Quarantined():
            kept = await _keep(event, ctx)
            # The source first: once it is gone, no promote that comes again can copy it behind this one's back.
            gone = [await _remove(event.object, ctx), *await _remove_all(media_id, ctx)]
            return Discarded.of(event, gone, moved_to=kept)
        case Deleted():
            gone = [await _remove(version, ctx) for version in await _versions(media_id, ctx)]
            gone += await _remove_all(media_id, ctx)
            return Discarded.of(event, gone)
        case Promoted():
            gone = [await _remove(event.object, ctx)]
            if await _came_late(event, ctx):
                gone += await _remove_all(media_id, ctx)
            return Discarded.of(event, gone)
        case Encoded() | Playable() | Done() | Skipped() | Failed():
            gone = await _of_products(event, ctx)
            return Discarded.of(event, gone) if gone else None
        case Rejected() | Overwritten():
            gone = [await _remove(event.object, ctx)]
            return Discarded.of(event, gone, subject_version=event.object.version_id)
        case _:
            raise AssertionError(event)


async def _of_products(event: MediaEvent, ctx: Context) -> list[ObjectRef]:
    """What a product's event makes needless: all, if it came late; the pieces of a stream that is done or refused.

    Who gave up on a product may have left files of it, and nobody says `done` of them.
    """
    media_id = event.media.media_id
    if await _came_late(event, ctx):
        return await _remove_all(media_id, ctx)
    if isinstance(event, Done) and isinstance(stream := event.description, StreamDescription) and stream.plan:
        # Another run may be at work by another plan: its pieces are nobody else's.
        gone = await _remove_under(work_key(media_id, stream.plan, ""), ctx)
        return [*gone, *await _remove_outdated(media_id, stream.plan, stream.replaced, ctx)]
    if isinstance(event, Done | Skipped) and event.product == "stream":
        return await _remove_under(f"work/{media_id}/", ctx)
    return []


async def _remove_outdated(media_id: str, plan: str, replaced: str | None, ctx: Context) -> list[ObjectRef]:
    """Segments of former streams, but of the last one: somebody may be in the middle of it.

    Nor those of one that is being made: as long as it isn't announced there are pieces of it, and then it is the one
    that is played. So these are asked for in this order.
    """
    if replaced is None:
        return []
    place = f"work/{media_id}/"
    at_work = {entry.key.removeprefix(place).partition("/")[0] async for entry in ctx.objects.list(place)}
    played = await ctx.objects.head(rendition_key(media_id, f"{FOLDER}/{MASTER}"))
    kept = {mark(each) for each in (plan, replaced, *at_work, *([played.metadata[PLAN]] if played else []))}

    def outdated(name: str) -> bool:
        found = marked(name)
        return found is not None and found not in kept

    return await _remove_under(rendition_key(media_id, f"{FOLDER}/"), ctx, outdated)


async def _keep(event: Quarantined, ctx: Context) -> ObjectRef | None:
    """Copy a condemned file to quarantine/, for operators; None if its bytes are gone already.

    Where its version was written again since it was scanned, the condemned bytes are no more. What took their place is
    kept in their stead, under its own SHA-256: it must not stay where it is, nor hold up what is removed.
    """
    key = quarantine_key(event.media.media_id)
    try:
        source = await ctx.objects.for_replays().resolve(event.object)
        copied = await ctx.objects.copy(
            source,
            key,
            content_type="application/octet-stream",
            metadata={SOURCE_VERSION: f"{event.object.version_id}", SOURCE_SHA256: f"{event.object.sha256}"},
        )
    except Gone:
        # Moved before this delivery came again.
        return await _kept(event, ctx)
    failpoint("discard.copied")
    kept = await _kept(event, ctx)
    return kept and kept.model_copy(update={"sha256": copied.sha256})


async def _kept(event: Quarantined, ctx: Context) -> ObjectRef | None:
    key = quarantine_key(event.media.media_id)
    # Listed, since functions have no right to read what is in quarantine/: its SHA-256 can't be known here.
    async for entry in ctx.objects.list(key):
        if entry.key == key:
            return ObjectRef(bucket=event.object.bucket, key=key, size=entry.size)
    return None


async def _came_late(event: MediaEvent, ctx: Context) -> bool:
    """Whether the media was condemned or deleted while this was being made."""
    media_id = event.media.media_id
    tombstones = [happened(name, media_id) for name in TOMBSTONES]
    # Asked together with the input itself: whoever knows that is not behind.
    past = await ctx.history.last(*tombstones, happened(event.event, media_id))
    return any(event_name(fact) in TOMBSTONES for fact in past)


async def _remove_all(media_id: str, ctx: Context) -> list[ObjectRef]:
    """Everything made of a media: its original, every product, its work in progress."""
    return [gone for place in ("permanent", "work") for gone in await _remove_under(f"{place}/{media_id}/", ctx)]


async def _remove_under(prefix: str, ctx: Context, needless: Callable[[str], bool] | None = None) -> list[ObjectRef]:
    """What lies there; or of it, by the rest of its key, what is needless."""
    gone: list[ObjectRef] = []
    async for entry in ctx.objects.list(prefix):
        if needless and not needless(entry.key.removeprefix(prefix)):
            continue
        gone.append(ObjectRef(bucket=ctx.objects.bucket, key=entry.key, size=entry.size))
        await ctx.objects.delete(entry.key)
        failpoint("discard.removed")
    return gone


async def _remove(ref: ObjectRef, ctx: Context) -> ObjectRef:
    await ctx.objects.delete(ref.key, ref.version_id)
    failpoint("discard.deleted")
    return ref


async def _versions(media_id: str, ctx: Context) -> list[ObjectRef]:
    key = temp_key(media_id)
    return [
        ObjectRef(bucket=ctx.objects.bucket, key=key, version_id=entry.version_id, size=entry.size)
        async for entry in ctx.objects.list_versions(key)
        if entry.key == key
    ]
