"""Files as cameras, browsers and office programs make them: none is refused, and each is what it is."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.decoder import DecoderPool
from infra.magic import HEAD_BYTES, MOST_READS, WHOLE_BYTES
from infra.settings import Settings
from schemas.types import TYPES
from tests.infra.identifying import Reader, identified_whole
from tests.samples.clean import samples

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT_OF = 0.6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """One sandboxed child for all of them."""
    started = DecoderPool(Settings(decoder_processes=1))
    await started.start()
    yield started
    await started.aclose()


async def test_there_are_enough_of_each_type() -> None:
    """A hundred files and more, and no type that can be accepted without several ways to make it."""
    made = samples().values()
    assert len(made) >= 100
    of_type = {name: sum(sample.content_type == name for sample in made) for name in TYPES}
    assert min(of_type.values()) >= 1, of_type
    assert len({sample.body for sample in made}) == len(made)


async def test_each_is_identified(pool: DecoderPool) -> None:
    """By a few pieces and by all of it a clean file is found to be what it is."""
    wrong: list[tuple[str, str]] = []
    for sample in samples().values():
        try:
            found = [await Reader(sample.body).identify(pool), await identified_whole(pool, sample.body)]
        except Exception as error:  # noqa: BLE001 -- all that are wrong are named at once
            found = [str(error)]
        if set(found) != {sample.content_type}:
            wrong.append((sample.name, ", ".join(found)))
    assert wrong == []


async def test_few_reads(pool: DecoderPool) -> None:
    """A small file takes one read; others the head, the tail, and a piece for what stands elsewhere: never many."""
    for sample in samples().values():
        reader = Reader(sample.body)
        await reader.identify(pool)
        least = 1 if len(sample.body) <= WHOLE_BYTES or sample.content_type in {"application/pdf", "text/plain"} else 2
        assert least <= len(reader.reads) <= 4, (sample.name, reader.reads)
        assert sum(length for _, length in reader.reads) <= MOST_READS * HEAD_BYTES


async def test_cut_short(pool: DecoderPool) -> None:
    """A file that stops in its middle is of its type all the same, for the probe to refuse, or says what it lacks."""
    for sample in samples().values():
        cut = sample.body[: int(len(sample.body) * SHORT_OF)]
        if len(cut) <= HEAD_BYTES:
            continue
        try:
            found = await Reader(cut).identify(pool)
        except Exception as error:  # noqa: BLE001 -- judged below
            found = str(error).partition(":")[0]
        assert found in {sample.content_type, "truncated", *_LESS_TOLD.get(sample.content_type, ())}, sample.name


# Without the tracks that stand at its end a sound can't be told from a video, nor an old QuickTime from anything.
_LESS_TOLD = {"audio/mp4": ("video/mp4",), "video/quicktime": ("application/octet-stream",)}
