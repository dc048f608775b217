"""From `scanned` to `probed`: a decoder in its sandbox reads the file's structure."""

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from events.errors import Reject
from events.registry import function
from infra.context import Context
from infra.decoder import (
    named,
    probe_image,
    probe_office,
    probe_pdf,
    probe_text,
    require_whole_ogg,
    unnamed_file,
    write_all,
)
from infra.ffmpeg import probe_recording
from infra.magic import identify_file
from infra.originals import Changed
from schemas.events import Probed, Scanned
from schemas.media import Identity
from schemas.probe import Probe

CHANGED = "The file changed while it was being checked: request a new upload, and send the file once."


@function(on=Scanned, timeout=600, concurrency=8)
async def probe(event: Scanned, ctx: Context) -> Probed:
    """Read the file in a sandbox: it must open, whole and without a password, within the budgets of its kind.

    What is opened is held to be what was identified and scanned: the version's id alone says so only as long as MinIO
    lets nobody write the same version again.
    """
    async with _picture(event, ctx) if event.identity.kind == "image" else _spooled(event, ctx) as file:
        if await identify_file(ctx.decoders, file) != event.identity.content_type:
            raise Reject("changed", CHANGED)
        found = await _read(event.identity, ctx, file)
    return Probed.after(event, probe=found)


async def _read(identity: Identity, ctx: Context, file: int) -> Probe:
    if identity.content_type == "audio/ogg":
        await require_whole_ogg(ctx.decoders, file)
    if identity.kind in {"audio", "video"}:
        with named(file) as path:
            return await probe_recording(ctx.ffmpeg, path, identity.content_type)
    if identity.kind == "image":
        return await probe_image(ctx.decoders, file, identity.content_type)
    if identity.content_type == "application/pdf":
        return await probe_pdf(ctx.decoders, file)
    if identity.content_type == "text/plain":
        return await probe_text(ctx.decoders, file)
    return await probe_office(ctx.decoders, file, identity.content_type)


@asynccontextmanager
async def _picture(event: Scanned, ctx: Context) -> AsyncGenerator[int]:
    """The file, which is still there when its sizes are made a moment later."""
    try:
        async with ctx.originals.open(event.object, ctx.objects) as path:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield file
            finally:
                os.close(file)
    except Changed:
        raise Reject("changed", CHANGED) from None


@asynccontextmanager
async def _spooled(event: Scanned, ctx: Context) -> AsyncGenerator[int]:
    """The file, for as long as it is looked at."""
    done, digest = 0, hashlib.sha256()
    file = unnamed_file(ctx.settings.work_dir)
    try:
        async with ctx.objects.open(event.object) as chunks:
            async for chunk in chunks:
                write_all(file, chunk)
                digest.update(chunk)
                done += len(chunk)
                if done < event.object.size:
                    await ctx.progress(done, event.object.size)
        if digest.hexdigest() != event.object.sha256:
            raise Reject("changed", CHANGED)
        yield file
    finally:
        os.close(file)
