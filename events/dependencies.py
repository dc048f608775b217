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
        self._recoveries: dict[str, asyncio.Task[None]] = {}

    @property
    def down(self) -> frozenset[str]:
        """Names of what doesn't answer now, as far as deliveries found out."""
        return frozenset(self._recoveries)

    async def wait(self, name: str) -> bool:
        """Return when the dependency answers. True: it did so at once, so it wasn't the reason for a failed call."""
        recovery = self._recoveries.get(name)
        if recovery is None:
            if name not in self._probes or await self._answers(name):
                return True
            recovery = self._recoveries.get(name)
            if recovery is None:
                recovery = self._recoveries[name] = asyncio.create_task(self._recover(name), name=f"recover {name}")
        await asyncio.shield(recovery)
        return False

    async def check(self) -> dict[str, bool]:
        """Probe everything now."""
        names = list(self._probes)
        return dict(zip(names, await asyncio.gather(*map(self._answers, names)), strict=True))

    async def aclose(self) -> None:
        """Stop probing."""
        for recovery in self._recoveries.values():
            recovery.cancel()
        await asyncio.gather(*self._recoveries.values(), return_exceptions=True)

    async def _answers(self, name: str) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probes[name]()
        except Exception:  # noqa: BLE001  whatever a probe raises means: it does not answer
            return False
        return True

    async def _recover(self, name: str) -> None:
        log.warning("dependency.down", dependency=name)
        started = asyncio.get_running_loop().time()
        pause = FIRST_PAUSE
        try:
            while not await self._answers(name):
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            del self._recoveries[name]
        log.info("dependency.up", dependency=name, seconds=round(asyncio.get_running_loop().time() - started, 1))
