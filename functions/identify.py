"""From `uploaded` to `identified`: the first bytes say what the file is, whatever its name and its client say."""

from events.errors import Reject
from events.registry import function
from infra.context import Context
from infra.magic import HEAD_BYTES
from infra.magic import identify as identify_head
from schemas.events import Identified, Uploaded
from schemas.media import Identity


@function(on=Uploaded, timeout=60, concurrency=8)
async def identify(event: Uploaded, ctx: Context) -> Identified:
    """Compare the magic bytes with the declared type."""
    size, limit = event.object.size, ctx.settings.max_upload_bytes
    if size == 0:
        raise Reject("empty", "The file is empty: choose it again and upload it once more.")
    if size > limit:
        raise Reject("too_large", f"The file has {size:,} bytes and {limit:,} are allowed: upload a smaller one.")
    head = await ctx.objects.get(event.object, 0, HEAD_BYTES)
    found = await identify_head(ctx.decoders, head)
    declared = event.media.content_type.split(";")[0].strip().lower()
    if found.kind is None or found.extension is None:
        raise Reject(
            "type_refused",
            f"The file is {found.content_type}, which is not accepted: upload a PDF or a plain text.",
        )
    if found.content_type != declared:
        raise Reject(
            "type_mismatch",
            f"The file was declared as {declared} and is {found.content_type}: request the upload with its real type.",
        )
    identity = Identity(kind=found.kind, content_type=found.content_type, extension=found.extension)
    return Identified.after(event, identity=identity)
