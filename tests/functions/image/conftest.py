from collections.abc import AsyncGenerator

import pytest_asyncio

from infra.local.threaded import ThreadedStack
from tests.system import System, provisioned


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack with nobody working."""
    async with provisioned(stack) as running:
        yield running
