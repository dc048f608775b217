"""Waiting for what is down: one probe a dependency, however many deliveries wait."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

log = structlog.get_logger()

PROBE_SECONDS = 3.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Dependencies:
    """What a process depends on, and what of it is down."""

    def __init__(self, probes: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        self._probes = dict(probes)
        self._probing: dict[str, asyncio.Task[bool]] = {}
        self._down: set[str] = set()
        self._closed = False

    @property
    def down(self) -> frozenset[str]:
        """Names of what doesn't answer now, as far as deliveries found out."""
        return frozenset(self._down)

    async def wait(self, name: str) -> bool:
        """Return when the dependency answers. True: it did so at once, so it wasn't the reason for a failed call.

        Raises:
            asyncio.CancelledError: the process stops; nothing is waited for any more.
        """
        if self._closed:
            raise asyncio.CancelledError
        if name not in self._probes:
            return True
        probing = self._probing.get(name)
        if probing is None:
            probing = self._probing[name] = asyncio.create_task(self._until_it_answers(name), name=f"probe {name}")
        return await asyncio.shield(probing)

    async def check(self) -> dict[str, bool]:
        """Probe everything now."""
        names = list(self._probes)
        return dict(zip(names, await asyncio.gather(*map(self._answers, names)), strict=True))

    async def aclose(self) -> None:
        """Stop probing; who waits is cancelled."""
        self._closed = True
        probing = list(self._probing.values())
        for task in probing:
            task.cancel()
        await asyncio.gather(*probing, return_exceptions=True)

    async def _answers(self, name: str) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probes[name]()
        except Exception:  # noqa: BLE001  whatever a probe raises means: it does not answer
            return False
        return True

    async def _until_it_answers(self, name: str) -> bool:
        try:
            if await self._answers(name):
                return True
            self._down.add(name)
            log.warning("dependency.down", dependency=name)
            started = asyncio.get_running_loop().time()
            pause = FIRST_PAUSE
            while not await self._answers(name):
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            log.info("dependency.up", dependency=name, seconds=round(asyncio.get_running_loop().time() - started, 1))
            return False
        finally:
            self._down.discard(name)
            del self._probing[name]
