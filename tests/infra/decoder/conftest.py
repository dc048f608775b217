import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from infra.decoder import DecoderPool, unnamed_file
from infra.settings import Settings

HOSTILE = Path(__file__).with_name("hostile.py")


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    """Two sandboxed children that know hostile jobs, too."""
    started = DecoderPool(Settings(decoder_timeout_seconds=10), extra_jobs=HOSTILE)
    await started.start()
    yield started
    await started.aclose()


@pytest.fixture
def file_of() -> Iterator[Callable[[bytes], int]]:
    """Makes an unnamed file of bytes and closes it in the end."""
    made: list[int] = []

    def make(content: bytes) -> int:
        made.append(unnamed_file())
        os.write(made[-1], content)
        return made[-1]

    yield make
    for file in made:
        os.close(file)
