"""Servers of one's own for every fault: nobody else minds what becomes of them."""

from collections.abc import Generator
from pathlib import Path

import pytest

from infra.local.stack import StackOptions
from infra.local.threaded import ThreadedStack


@pytest.fixture
def own_stack(tmp_path: Path) -> Generator[ThreadedStack]:
    """Fresh servers that stay down when they are killed, until the test starts them."""
    options = StackOptions(keep_alive=False, sync_always=False, system_signatures=None)
    with ThreadedStack(tmp_path / "stack", options=options) as running:
        yield running
