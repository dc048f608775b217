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
    done = 0
    with _spool(ctx) as file:
        async with ctx.objects.open(event.object) as chunks:
            async for chunk in chunks:
                _write(file, chunk)
                done += len(chunk)
                if done < event.object.size:
                    await ctx.progress(done, event.object.size)
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
