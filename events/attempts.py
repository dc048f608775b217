"""The runtime's own count of failures, one KV entry a delivery, written only when something went wrong.

NATS's delivery count is no count of failures: one message that kills its process raises it for all that were in flight.
"""

import random
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from events.budget import cores
from events.bus import Bus

BUCKET = "attempts"


@dataclass(frozen=True, slots=True)
class Policy:
    """When to retry, to suspect, to give up, and how much runs at once. Times in seconds, `cpu_budget` in cores."""

    attempts: int = 5
    suspect_after: int = 3
    retry_base: float = 1.0
    retry_max: float = 300.0
    ack_wait: float = 15.0
    grace: float = 20.0
    cpu_budget: float = field(default_factory=cores)

    def delay(self, failures: int) -> float:
        """Exponential backoff with jitter before the next try: half of it is fixed, half random."""
        full = min(self.retry_base * 2.0 ** min(failures - 1, 60), self.retry_max)
        return full * (0.5 + random.random() / 2)  # noqa: S311  jitter is no secret


class Trial(BaseModel):
    """What went wrong with one delivery so far.

    Attributes:
        failures: tries that raised.
        cleared: redeliveries that are explained: it ran alone and did not kill its process.
        alone: it was running alone when this was written.
    """

    model_config = ConfigDict(frozen=True)

    failures: int = 0
    cleared: int = 0
    alone: bool = False

    def unexplained(self, delivered: int) -> int:
        """Redeliveries without a failure: a crash, a restart or a drain."""
        return delivered - 1 - self.failures - self.cleared


class Attempts:
    """Trials by consumer and stream sequence."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def load(self, consumer: str, stream: str, sequence: int) -> Trial | None:
        """What is written of the delivery.

        Raises:
            BusDown: no answer.
        """
        value = await self._bus.kv_get(BUCKET, _key(consumer, stream, sequence))
        return Trial.model_validate_json(value) if value else None

    async def save(self, consumer: str, stream: str, sequence: int, trial: Trial) -> None:
        """Write it down.

        Raises:
            BusDown: not confirmed.
        """
        await self._bus.kv_put(BUCKET, _key(consumer, stream, sequence), trial.model_dump_json().encode())

    async def clear(self, consumer: str, stream: str, sequence: int) -> None:
        """Forget it: the delivery ended.

        Raises:
            BusDown: not confirmed.
        """
        await self._bus.kv_delete(BUCKET, _key(consumer, stream, sequence))


def _key(consumer: str, stream: str, sequence: int) -> str:
    return f"{consumer}.{stream}.{sequence}"
