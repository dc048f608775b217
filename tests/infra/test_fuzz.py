"""A hundred damaged variants of good files: each is described or refused with a code, and nobody is worse off."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from infra.decoder import (
    DecodeRejected,
    DecoderPool,
    named,
    probe_image,
    probe_office,
    probe_pdf,
    probe_text,
    unnamed_file,
)
from infra.ffmpeg import Ffmpeg, probe_recording
from infra.settings import Settings
from schemas.model import Model
from schemas.types import TYPES
from tests.samples import av, documents, images, office
from tests.samples.fuzz import variants

pytestmark = pytest.mark.asyncio(loop_scope="module")

VARIANTS = 100
SEED = os.environ.get("FUZZ_SEED", "tidegate")
SETTINGS = Settings(decoder_timeout_seconds=5)
CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}
# A variant costs a recording a cold FFprobe, 40 ms on each of two cores: here three, `make faults` tries all.
OFTEN = ("plain.mp4", "vp9.webm", "plain.mp3")

Probing = Callable[[int], Awaitable[Model]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """Decoders as a worker has them."""
    started = DecoderPool(SETTINGS)
    await started.start()
    yield started
    await started.aclose()


async def outcomes(good: bytes, name: str, probing: Probing, count: int = VARIANTS) -> dict[str, int]:
    """How the variants ended: by code, or `good`. Whatever else is raised fails the test."""
    seed = f"{SEED}-{name}"
    sys.stdout.write(f"seed: {seed}\n")
    ended: dict[str, int] = {}
    todo = variants(good, count, seed)

    async def some() -> None:
        for variant in todo:
            code = await _outcome(variant, probing)
            ended[code] = ended.get(code, 0) + 1

    await asyncio.gather(*(some() for _ in range(SETTINGS.decoder_processes)))
    assert await _outcome(good, probing) == "good"
    assert sum(ended.values()) == count
    sys.stdout.write(f"{name}: {ended}\n")
    return ended


async def _outcome(content: bytes, probing: Probing) -> str:
    file = unnamed_file()
    os.write(file, content)
    rejected = None
    try:
        await probing(file)
    except DecodeRejected as raised:
        rejected = raised
    finally:
        os.close(file)
    if rejected is None:
        return "good"
    assert rejected.reason.startswith("The ")
    assert "/" not in rejected.reason
    return rejected.code


@pytest.mark.parametrize("name", images.NAMES)
async def test_images(pool: DecoderPool, name: str) -> None:
    """Pillow and its libraries, on every format."""
    kind = CONTENT_TYPES[name.rpartition(".")[2]]
    ended = await outcomes(images.image(name), name, lambda file: probe_image(pool, file, kind))
    assert {"truncated", "corrupt"} & set(ended)


@pytest.mark.parametrize("name", office.NAMES)
async def test_office(pool: DecoderPool, name: str) -> None:
    """Zips and their manifests."""
    kind = CONTENT_TYPES[name.rpartition(".")[2]]
    ended = await outcomes(office.office(name), name, lambda file: probe_office(pool, file, kind))
    assert {"truncated", "corrupt"} & set(ended)


async def test_documents(pool: DecoderPool) -> None:
    """Pdfium, and text."""
    assert "truncated" in await outcomes(documents.pdf(3), "pdf", lambda file: probe_pdf(pool, file))
    text = "Grüße aus dem Hafen.\n".encode() * 50
    assert "not_text" in await outcomes(text, "text", lambda file: probe_text(pool, file))


async def _recording(name: str) -> None:
    ffmpeg = Ffmpeg(SETTINGS)
    kind = CONTENT_TYPES[name.rpartition(".")[2]]

    async def probing(file: int) -> Model:
        with named(file) as path:
            return await probe_recording(ffmpeg, path, kind)

    await outcomes(av.media(name), name, probing)


@pytest.mark.parametrize("name", OFTEN)
async def test_recordings(name: str) -> None:
    """FFprobe, on what comes most."""
    await _recording(name)


@pytest.mark.slow_faults
@pytest.mark.parametrize("name", sorted(set(av.NAMES) - set(OFTEN)))
async def test_all_recordings(name: str) -> None:
    """FFprobe, on every kind of file there is."""
    await _recording(name)
