"""How fast this machine works, as this process has measured it: what estimates of the time left are made from."""

from dataclasses import dataclass, field
from typing import Final

# The newest measurement counts for a third: what else runs on a machine changes from chunk to chunk.
WEIGHT: Final = 1 / 3


@dataclass(slots=True)
class Speeds:
    """Running averages by kind of work, in units of work a second."""

    _averages: dict[str, float] = field(default_factory=dict[str, float])

    def measured(self, kind: str, work: float, seconds: float) -> None:
        """Take in that so much work of a kind took so long."""
        if work <= 0 or seconds <= 0:
            return
        speed = work / seconds
        known = self._averages.get(kind)
        self._averages[kind] = speed if known is None else known + WEIGHT * (speed - known)

    def seconds(self, kind: str, work: float) -> float | None:
        """How long so much work would take; None: nothing of the kind was measured yet."""
        speed = self._averages.get(kind)
        return work / speed if speed else None
