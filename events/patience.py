"""How long the runtime waits: for a handler no longer than its timeout, for the bus as long as it takes."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from events.bus import BusDown, StreamMissing

log = structlog.get_logger()
T = TypeVar("T")

STOP_SECONDS = 5.0
"""How long cancelled work may take to clean up before it is left behind."""


class Overdue(TimeoutError):
    """A handler did not finish within its timeout."""


async def within(seconds: float, work: Coroutine[Any, Any, T], name: str) -> T:
    """The work's result. After `seconds` it is cancelled, and left behind if it doesn't mind that.

    Raises:
        Overdue: it did not finish.
        RuntimeError: it cancelled itself; a `CancelledError` would look like the runtime's own.
    """
    task = asyncio.create_task(work, name=name)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise Overdue(f"{name} did not finish within {seconds:g} s")
        if task.cancelled():
            raise RuntimeError(f"{name} was cancelled, though not by the runtime")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait({task}, timeout=STOP_SECONDS)
            if not task.done():
                log.error("handler.hung", function=name, seconds=seconds)


async def steadily(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call to the bus until it is confirmed: a bus that is away is nobody's failure."""
    pause = 0.1
    while True:
        try:
            return await call()
        except (BusDown, StreamMissing) as error:
            log.warning("bus.down", error=str(error))
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311  jitter
            pause = min(pause * 2, 2.0)
