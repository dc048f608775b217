"""Which of the servers behind the gateway answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from schemas.api import TEST_SIGNATURES, Dependency, Readiness

PATIENCE_SECONDS: Final = 2.5
# Several balancers ask at once.
FRESH_SECONDS: Final = 1.0

Probe = Callable[[], Awaitable[None]]
log = structlog.get_logger()


class Health:
    """Asks every server at the same time, at most once a second."""

    def __init__(self, probes: Mapping[str, Probe], label: str) -> None:
        self._probes = probes
        self._warnings = (TEST_SIGNATURES,) if label else ()
        self._asking: asyncio.Task[Readiness] | None = None
        self._fresh_until = 0.0

    async def readiness(self) -> Readiness:
        """Who answers."""
        if self._asking is None or time.monotonic() >= self._fresh_until:
            self._fresh_until = time.monotonic() + PATIENCE_SECONDS + FRESH_SECONDS
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Readiness:
        answers = await asyncio.gather(*(_asked(probe) for probe in self._probes.values()))
        dependencies = dict(zip(self._probes, answers, strict=True))
        self._fresh_until = time.monotonic() + FRESH_SECONDS
        return Readiness(ready=all(one.up for one in answers), dependencies=dependencies, warnings=self._warnings)


async def _asked(probe: Probe) -> Dependency:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await probe()
    except TimeoutError:
        return Dependency(up=False, detail="no answer")
    except Exception as error:  # noqa: BLE001 - whatever a probe raises means that its server is no use
        log.warning("health.down", error=str(error))
        # The log has the words: addresses and user names are not for everybody.
        return Dependency(up=False, detail=type(error).__name__)
    return Dependency(up=True)
