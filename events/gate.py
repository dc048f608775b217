"""Who runs in a process: everybody together, or a suspect alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Gate:
    """Many may be inside at once, or one alone. Who waits to be alone goes before those who come after."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def together(self) -> AsyncGenerator[None]:
        """Be inside with the others."""
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Be inside with nobody else."""
        async with self._alone:
            self._open.clear()
            try:
                await self._empty.wait()
                yield
            finally:
                self._open.set()
