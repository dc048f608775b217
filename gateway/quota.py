"""Whether an owner may ask for one more upload.

While MongoDB doesn't answer, uploads are taken uncounted: that it is away must not keep everybody's files out, and
what one owner can ask for meanwhile is bounded by the rate. The log and `tidegate_quota_unchecked_total` say so.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import structlog
from prometheus_client import Counter

from gateway.problems import ProblemError
from infra.errors import DependencyDown
from infra.quotas import Quotas
from infra.settings import Settings

PATIENCE_SECONDS: Final = 0.5
# Without an answer, not every upload should wait for one.
SULK_SECONDS: Final = 5.0
# What is pending ends when it is uploaded, or hours later: nobody can say when to ask again.
PENDING_SECONDS: Final = 30

Pending = Callable[[str, int], Awaitable[int]]
UNCHECKED = Counter("tidegate_quota_unchecked_total", "Uploads that were not counted: MongoDB did not answer.")
log = structlog.get_logger()


class Quota:
    """The limits of settings, kept with MongoDB's help; where none is set it asks nobody.

    Args:
        settings: Says which there are.
        pending: How many uploads of an owner have not come yet, counted to a number.
        quotas: The counters, where uploads or bytes are limited.
    """

    def __init__(self, settings: Settings, pending: Pending, quotas: Quotas | None) -> None:
        self._most_pending = settings.pending_uploads
        self._pending = pending
        self._quotas = quotas
        self._away_until = 0.0

    @property
    def limits(self) -> bool:
        """Whether there is any limit."""
        return bool(self._quotas or self._most_pending)

    async def take(self, owner: str, size: int, now: datetime) -> bool:
        """Count an upload; whether it was counted.

        Raises:
            ProblemError: 429, it would be too much; or 413, it would be at any time.
        """
        if not self.limits:
            return False
        if time.monotonic() < self._away_until:
            UNCHECKED.inc()
            return False
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._most_pending and await self._pending(owner, self._most_pending) >= self._most_pending:
                    raise _too_many_pending(self._most_pending)
                if self._quotas and not await self._quotas.take(owner, size, now):
                    raise _exceeded(self._quotas, size, now)
        except (DependencyDown, TimeoutError) as error:
            self._away_until = time.monotonic() + SULK_SECONDS
            UNCHECKED.inc()
            log.warning("quota.unchecked", error=str(error) or type(error).__name__)
            return False
        return self._quotas is not None

    async def give_back(self, owner: str, size: int, now: datetime) -> None:
        """Uncount an upload that could not be put on record."""
        if self._quotas:
            with suppress(DependencyDown):
                await self._quotas.give_back(owner, size, now)

    async def aclose(self) -> None:
        """Close its connections."""
        if self._quotas:
            await self._quotas.aclose()


def _too_many_pending(most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_pending",
        f"{most} uploads were asked for and have not come yet: upload those first.",
        {"retry-after": str(PENDING_SECONDS)},
        limit=most,
    )


def _exceeded(quotas: Quotas, size: int, now: datetime) -> ProblemError:
    may = quotas.allowance
    limits: dict[str, Any] = {
        "limit_uploads": may.uploads or None,
        "limit_bytes": may.size or None,
        "window_seconds": may.seconds,
    }
    if may.size and size > may.size:
        return ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "larger_than_quota",
            f"The file has {size} bytes and your whole quota {may.size}: make it smaller or split it.",
            **limits,
        )
    wait = max(math.ceil((may.window(now)[1] - now).total_seconds()), 1)
    most = " and ".join(f"{most} {what}" for most, what in ((may.uploads, "uploads"), (may.size, "bytes")) if most)
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "quota_exceeded",
        f"Your quota is {most} in {may.seconds} s, and this would be more. It begins anew in {wait} s; ask again then.",
        {"retry-after": str(wait)},
        **limits,
    )
