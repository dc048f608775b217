"""Starting several things at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*starts: Coroutine[Any, Any, None]) -> None:
    """Run all at once; when one fails, cancel the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
