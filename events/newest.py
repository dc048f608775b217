"""What a listener has not heard yet: the newest messages, never more than so many."""

import asyncio
from collections import deque

# At two a second of each function and file this is minutes of silence from a listener; then the oldest is worth least.
MOST_UNHEARD = 1024

Heard = tuple[str, bytes]
"""Subject and data of a message that is not stored."""


class Newest:
    """A queue that forgets its oldest message when it is full, so that who puts never waits."""

    def __init__(self) -> None:
        self._messages: deque[Heard] = deque(maxlen=MOST_UNHEARD)
        self._changed = asyncio.Event()

    def put(self, subject: str, data: bytes) -> None:
        """Add one."""
        self._messages.append((subject, data))
        self._changed.set()

    def wake(self) -> None:
        """Let `take` return though there is nothing."""
        self._changed.set()

    async def take(self) -> Heard | None:
        """The oldest that is left, as soon as there is one; None after `wake`, and now and then besides."""
        if not self._messages:
            await self._changed.wait()
        if self._messages:
            return self._messages.popleft()
        self._changed.clear()
        return None
