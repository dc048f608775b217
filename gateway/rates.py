"""How many requests an owner may send: to this process, whatever others are sent beside it."""

from time import monotonic
from typing import Final

# Who has waited long enough is as good as new, and forgotten when there are so many.
MOST_REMEMBERED: Final = 10_000
_ROUNDING: Final = 1e-6


class Rates:
    """A bucket of `burst` requests for each owner, filled by `per_second`; 0: no limit.

    Of each owner one time is kept: when the bucket will be full again (the generic cell rate algorithm).
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second if per_second else 0
        self._patience = self._interval * (burst - 1)
        self._full_at: dict[str, float] = {}

    @property
    def remembered(self) -> int:
        """Of how many owners something is kept."""
        return len(self._full_at)

    def take(self, owner: str) -> float:
        """Count a request: 0, or the seconds after which it may be sent again, and then it is not counted."""
        if not self._interval:
            return 0
        now = monotonic()
        full_at = max(self._full_at.get(owner, now), now)
        if (wait := full_at - now - self._patience) > _ROUNDING:
            return wait
        if len(self._full_at) >= MOST_REMEMBERED and owner not in self._full_at:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._full_at[owner] = full_at + self._interval
        return 0
