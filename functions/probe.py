"""From `scanned` to `probed`: a decoder in its sandbox reads the file's structure."""

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager

from events.errors import Reject
from events.registry import function
from infra.context import Context
from infra.decoder import probe_pdf, probe_text, unnamed_file
from infra.magic import identify_file
from schemas.events import Probed, Scanned

_PROBES = {"application/pdf": probe_pdf, "text/plain": probe_text}


CHANGED = "The file changed while it was being checked: request a new upload, and send the file once."


@function(on=Scanned, timeout=600, concurrency=8)
async def probe(event: Scanned, ctx: Context) -> Probed:
    """Read the document in a decoder child: it must open, whole and without a password.

    What is opened is held to be what was identified and scanned: the version's id alone says so only as long as MinIO
    lets nobody write the same version again.
    """
    done, digest = 0, hashlib.sha256()
    with _spool(ctx) as file:
        async with ctx.objects.open(event.object) as chunks:
            async for chunk in chunks:
                _write(file, chunk)
                digest.update(chunk)
                done += len(chunk)
                if done < event.object.size:
                    await ctx.progress(done, event.object.size)
        if digest.hexdigest() != event.object.sha256:
            raise Reject("changed", CHANGED)
        if await identify_file(ctx.decoders, file) != event.identity.content_type:
            raise Reject("changed", CHANGED)
        found = await _PROBES[event.identity.content_type](ctx.decoders, file)
    return Probed.after(event, probe=found)


@contextmanager
def _spool(ctx: Context) -> Generator[int]:
    file = unnamed_file(ctx.settings.work_dir)
    try:
        yield file
    finally:
        os.close(file)


def _write(file: int, chunk: bytes) -> None:
    """All of it: a file system that is nearly full takes a part, and refuses the rest only then."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(file, rest) :]
