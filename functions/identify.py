"""From `uploaded` to `identified`: its own bytes say what the file is, whatever its name and its client say."""

from functools import partial

from events.errors import Reject
from events.registry import function
from infra.context import Context
from infra.magic import UNKNOWN, identify_content
from infra.settings import Settings
from schemas.declared import agrees
from schemas.events import Identified, Uploaded
from schemas.types import TYPES


@function(on=Uploaded, timeout=60, concurrency=8, lanes=True)
async def identify(event: Uploaded, ctx: Context) -> Identified:
    """Compare what the file is with what is accepted here, and with the declared type."""
    size, limit = event.object.size, ctx.settings.max_upload_bytes
    if size == 0:
        raise Reject("empty", "The file is empty: choose it again and upload it once more.")
    if size > limit:
        raise Reject("too_large", f"The file has {size:,} bytes and {limit:,} are allowed: upload a smaller one.")
    found = await identify_content(ctx.decoders, size, partial(ctx.objects.get, event.object))
    if found not in ctx.settings.accepted:
        raise Reject("type_refused", _refusal(found, ctx.settings))
    declared = event.media.content_type
    if not agrees(declared, found):
        raise Reject(
            "type_mismatch",
            f"The file was declared as {declared} and is {found}: request the upload with its real type.",
        )
    return Identified.after(event, identity=TYPES[found])


def _refusal(found: str, settings: Settings) -> str:
    what = "of no type that is known here" if found == UNKNOWN else f"{found}, which is not accepted here"
    extensions = sorted(TYPES[each].extension for each in settings.accepted)
    if not extensions:
        return f"The file is {what}: no files are accepted at the moment."
    return f"The file is {what}: save it as one of {', '.join(extensions)} and upload that."
