"""From `uploaded` to `identified`: the first bytes say what the file is, whatever its name and its client say."""

from events.errors import Reject
from events.registry import function
from infra.context import Context
from infra.magic import HEAD_BYTES, identify_head
from schemas.events import Identified, Uploaded
from schemas.media import Identity

_ACCEPTED = {
    "application/pdf": Identity(kind="document", content_type="application/pdf", extension="pdf"),
    "text/plain": Identity(kind="document", content_type="text/plain", extension="txt"),
}


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
    if found not in _ACCEPTED:
        raise Reject("type_refused", f"The file is {found}, which is not accepted: upload a PDF or a plain text.")
    if found != declared:
        raise Reject(
            "type_mismatch",
            f"The file was declared as {declared} and is {found}: request the upload with its real type.",
        )
    return Identified.after(event, identity=_ACCEPTED[found])
