"""From `scanned` to `probed`: a decoder in its sandbox reads the file's structure."""

from events.errors import Reject
from events.registry import function
from infra.context import Context
from infra.decoder import probe_image, probe_office, probe_pdf, probe_text, require_whole_ogg
from infra.ffmpeg import probe_recording
from infra.magic import identify_file
from infra.originals import Changed, Original
from schemas.events import Probed, Scanned
from schemas.media import Identity
from schemas.probe import Probe

CHANGED = "The file changed while it was being checked: request a new upload, and send the file once."


@function(on=Scanned, timeout=600, concurrency=8, lanes=True)
async def probe(event: Scanned, ctx: Context) -> Probed:
    """Read the file in a sandbox: it must open, whole and without a password, within the budgets of its kind.

    What is opened is held to be what was identified and scanned: the version's id alone says so only as long as MinIO
    lets nobody write the same version again.
    """
    try:
        async with ctx.originals.open(event.object, ctx.objects, progress=ctx.progress) as original:
            if await identify_file(ctx.decoders, original.file) != event.identity.content_type:
                raise Reject("changed", CHANGED)
            found = await _read(event.identity, ctx, original)
    except Changed:
        raise Reject("changed", CHANGED) from None
    return Probed.after(event, probe=found)


async def _read(identity: Identity, ctx: Context, original: Original) -> Probe:
    file = original.file
    if identity.content_type == "audio/ogg":
        await require_whole_ogg(ctx.decoders, file)
    if identity.kind in {"audio", "video"}:
        return await probe_recording(ctx.ffmpeg, original.path, identity.content_type)
    if identity.kind == "image":
        return await probe_image(ctx.decoders, file, identity.content_type)
    if identity.content_type == "application/pdf":
        return await probe_pdf(ctx.decoders, file)
    if identity.content_type == "text/plain":
        return await probe_text(ctx.decoders, file)
    return await probe_office(ctx.decoders, file, identity.content_type)
