"""From `probed` to `promoted`: exactly the version that was scanned, copied inside MinIO, its checksum compared."""

from events.errors import Reject
from events.failpoints import failpoint
from events.registry import function
from infra.context import Context
from infra.errors import Gone
from infra.object_headers import ObjectInfo
from infra.objects import SOURCE_SHA256, SOURCE_VERSION
from schemas.events import Probed, Promoted
from schemas.objects import ObjectRef
from schemas.profiles import promised
from schemas.subjects import original_key

CHANGED = "The file changed after it was checked: request a new upload, and send the file once."


class Occupied(Exception):
    """Where the original belongs lies something that was made from another version."""


@function(on=Probed, timeout=300, concurrency=8)
async def promote(event: Probed, ctx: Context) -> Promoted:
    """Copy the scanned version to permanent/ and verify it; run again, find that it is there.

    What is there already is never replaced, whatever the version holds by now.
    """
    source, key = event.object, original_key(event.media.media_id, event.identity.extension)
    assert source.version_id is not None
    assert source.sha256 is not None
    made = await ctx.objects.head(key, checksum=True)
    if made is not None and made.metadata.get(SOURCE_VERSION) != source.version_id:
        await ctx.objects.resolve(source)
        raise Occupied(f"{key} was made from version {made.metadata.get(SOURCE_VERSION)}, not {source.version_id}")
    if made is None:
        original = await _copied(source, key, event.identity.content_type, ctx)
    elif made.metadata.get(SOURCE_SHA256) != source.sha256:
        raise Reject("changed", CHANGED)
    elif not _is_what_it_says(made):
        await _withdraw(key, ctx)
        raise Reject("changed", CHANGED)
    else:
        original = ObjectRef(bucket=source.bucket, key=key, size=source.size, sha256=source.sha256)
    products = promised(ctx.settings.profiles, event.identity, event.probe)
    return Promoted.after(event, original=original, products=products)


async def _copied(source: ObjectRef, key: str, content_type: str, ctx: Context) -> ObjectRef:
    try:
        copied = await ctx.objects.copy(
            source,
            key,
            content_type=content_type,
            metadata={SOURCE_VERSION: f"{source.version_id}", SOURCE_SHA256: f"{source.sha256}"},
        )
    except Gone:
        # Promoted meanwhile, or under another extension, and discarded since: what was made from it is the answer.
        original = (await ctx.objects.resolve(source)).model_copy(update={"version_id": None})
        if original.sha256 != source.sha256:
            raise Reject("changed", CHANGED) from None
        return original
    failpoint("promote.copied")
    if copied.sha256 != source.sha256:
        await _withdraw(key, ctx)
        raise Reject("changed", CHANGED)
    return ObjectRef(bucket=source.bucket, key=key, size=source.size, sha256=source.sha256)


def _is_what_it_says(made: ObjectInfo) -> bool:
    """Whether MinIO's checksum is what the copy was told to be; it is not where a copy's maker died before looking."""
    return made.sha256 in (None, made.metadata.get(SOURCE_SHA256))


async def _withdraw(key: str, ctx: Context) -> None:
    """Take back a copy that was never said to be promoted."""
    await ctx.objects.delete(key)
    failpoint("promote.withdrawn")
