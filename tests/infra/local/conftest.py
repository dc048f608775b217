"""These tests make their own streams and kill servers: not on the stack that the others share."""

import pytest

from infra.local.threaded import ThreadedStack


@pytest.fixture(scope="session")
def stack(spare_stack: ThreadedStack) -> ThreadedStack:
    """The spare stack."""
    return spare_stack
