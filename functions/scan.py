"""From `identified` to `scanned`: ClamAV looks at every byte, and the SHA-256 is computed on the way through."""

from collections.abc import AsyncGenerator, AsyncIterator

from prometheus_client import Gauge

from events.errors import Reject
from events.registry import function
from infra.context import Context
from infra.errors import DependencyDown
from infra.originals import Passing
from schemas.events import Identified, Quarantined, Scanned
from schemas.media import Verdict
from schemas.model import LONGEST_LABEL

UNVERSIONED = "unversioned"
"""An operator's own signatures, of which neither clamd nor the settings say a name."""

SIGNATURES_MADE = Gauge(
    "tidegate_signatures_timestamp_seconds", "When the database that the last file was scanned with was made."
)

CHANGED = "The file changed while it was being checked: request a new upload, and send the file once."


@function(on=Identified, timeout=900, concurrency=8, lanes=True)
async def scan(event: Identified, ctx: Context) -> Scanned | Quarantined:
    """Stream the object through ClamAV and say what was found."""
    with ctx.originals.passing(event.object.size) as passing:
        verdict, read = await _scanned(event, passing, ctx)
        scanned = event.object.model_copy(update={"sha256": verdict.sha256})
        if verdict.status == "clean":
            if verdict.bytes_scanned != read:
                # Fail closed: ClamAV saw less (or more) than there is.
                raise DependencyDown("clamd", f"scanned {verdict.bytes_scanned} of {read} bytes")
            if read != event.object.size:
                raise Reject("changed", CHANGED)
            passing.keep(scanned)
            return Scanned.after(event, object=scanned, verdict=verdict)
    if verdict.status == "unscannable" and ctx.settings.unscannable == "reject":
        raise Reject(
            "unscannable",
            f"The virus scanner could not look inside the file ({verdict.signature}): "
            "upload it without encryption or password, and not nested in archives.",
        )
    return Quarantined(media=event.media, object=scanned, identity=event.identity, verdict=verdict)


async def _scanned(event: Identified, passing: Passing, ctx: Context) -> tuple[Verdict, int]:
    """ClamAV's verdict, and how many bytes there were to be judged."""
    read = 0

    async def watched(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The same chunks, counted and taken down, with progress said for those who wait for a large file."""
        nonlocal read
        async for chunk in chunks:
            yield chunk
            passing.write(chunk)
            read += len(chunk)
            if read < event.object.size:
                await ctx.progress(read, event.object.size)

    async with ctx.objects.open(event.object) as chunks:
        found = await ctx.clamd.scan(watched(chunks))
    verdict = Verdict(
        status=found.status,
        # Shortened, since a database may name its signatures as it likes, and a finding must be said.
        signature=found.signature and found.signature[:LONGEST_LABEL],
        engine=found.version.engine[:LONGEST_LABEL],
        signatures=str(found.version.signatures or ctx.settings.signatures_label or UNVERSIONED)[:LONGEST_LABEL],
        signatures_at=found.version.signatures_at,
        bytes_scanned=found.size,
        sha256=found.sha256,
    )
    if verdict.signatures_at:
        SIGNATURES_MADE.set(verdict.signatures_at.timestamp())
    return verdict, read
