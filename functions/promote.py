"""From `probed` to `promoted`: exactly the version that was scanned, copied inside MinIO, its checksum compared."""

from events.failpoints import failpoint
from events.registry import function
from infra.context import Context
from infra.errors import Gone
from infra.objects import SOURCE_SHA256, SOURCE_VERSION
from schemas.events import Probed, Promoted
from schemas.objects import ObjectRef
from schemas.subjects import original_key


class ChecksumMismatch(Exception):
    """What MinIO copied is not what ClamAV scanned."""


@function(on=Probed, timeout=300, concurrency=8)
async def promote(event: Probed, ctx: Context) -> Promoted:
    """Copy the scanned version to permanent/ and verify it; run again, find that it is there."""
    source, key = event.object, original_key(event.media.media_id, event.identity.extension)
    assert source.version_id is not None
    assert source.sha256 is not None
    try:
        copied = await ctx.objects.copy(
            source,
            key,
            content_type=event.identity.content_type,
            metadata={SOURCE_VERSION: source.version_id, SOURCE_SHA256: source.sha256},
        )
    except Gone:
        # Promoted before, and its temp version discarded since: the object that was made from it is the answer.
        original = (await ctx.objects.resolve(source)).model_copy(update={"version_id": None})
        if original.sha256 != source.sha256:
            raise ChecksumMismatch(
                f"{original.key} was promoted as {original.sha256} and scanned since as {source.sha256}"
            ) from None
    else:
        failpoint("promote.copied")
        if copied.sha256 != source.sha256:
            await ctx.objects.delete(key)
            failpoint("promote.withdrawn")
            raise ChecksumMismatch(
                f"{source.key} version {source.version_id} was scanned as {source.sha256} and copied as {copied.sha256}"
            )
        original = ObjectRef(bucket=source.bucket, key=key, size=source.size, sha256=source.sha256)
    return Promoted.after(event, original=original, products=())
