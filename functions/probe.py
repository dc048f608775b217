"""From `scanned` to `probed`: a decoder in its sandbox reads the file's structure."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from events.registry import function
from infra.context import Context
from infra.decoder import probe_pdf, probe_text, unnamed_file
from schemas.events import Probed, Scanned

_PROBES = {"application/pdf": probe_pdf, "text/plain": probe_text}


@function(on=Scanned, kinds=("document",), timeout=600, concurrency=8)
async def probe(event: Scanned, ctx: Context) -> Probed:
    """Read the document in a decoder child: it must open, whole and without a password."""
    with _spool(ctx) as file:
        async with ctx.objects.open(event.object) as chunks:
            async for chunk in chunks:
                os.write(file, chunk)
        found = await _PROBES[event.identity.content_type](ctx.decoders, file)
    return Probed.after(event, probe=found)


@contextmanager
def _spool(ctx: Context) -> Generator[int]:
    file = unnamed_file(ctx.settings.work_dir)
    try:
        yield file
    finally:
        os.close(file)
