from pathlib import Path

import pytest


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory, for FFmpeg to write into."""
    return tmp_path_factory.mktemp("made")
