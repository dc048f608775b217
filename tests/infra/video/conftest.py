from collections.abc import Callable
from pathlib import Path

import pytest

from infra.ffmpeg import Ffmpeg
from infra.settings import Settings


@pytest.fixture
def ffmpeg() -> Ffmpeg:
    """Runs FFmpeg's programs with a worker's settings."""
    return Ffmpeg(Settings())


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[[bytes], Path]:
    """Makes a file of bytes."""

    def make(content: bytes) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content)
        return path

    return make


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory, for FFmpeg to write into."""
    return tmp_path_factory.mktemp("made")
