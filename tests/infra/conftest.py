"""Stacks of their own: these tests make streams by hand, which others have provisioned on the shared ones."""

from collections.abc import Generator

import pytest

from infra.local.threaded import ThreadedStack
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
