"""Servers of their own: these tests make streams by hand, which others have provisioned on the shared ones. FFmpeg."""

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from infra.ffmpeg import Ffmpeg
from infra.local.threaded import ThreadedStack
from infra.settings import Settings
from tests.conftest import OPTIONS


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[ThreadedStack]:
    """Fresh servers for one module."""
    with ThreadedStack(tmp_path_factory.mktemp("own"), options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def spare_stack(stack: ThreadedStack) -> ThreadedStack:
    """The same: nobody else is to be left in peace here."""
    return stack


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
