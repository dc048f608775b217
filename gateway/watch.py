"""What one watcher of a media is told: that there is news, and how far functions are."""

import asyncio
import time
from typing import Final

# Two attempts of a function, or two of its pieces, may both speak; who watches wants a picture, not each word.
PROGRESS_SECONDS: Final = 0.5


class Watch:
    """Filled by `gateway.tail.Tail`, emptied by `gateway.follow.follow`.

    Attributes:
        news: an event of the media was published since this was last set to False.
    """

    def __init__(self) -> None:
        self.news = False
        self._changed = asyncio.Event()
        self._said: dict[str, bytes] = {}
        self._next: dict[str, float] = {}

    def wake(self) -> None:
        """There is news."""
        self.news = True
        self._changed.set()

    def say(self, function: str, line: bytes) -> None:
        """Tell how far a function is, in place of what was not told yet."""
        self._said[function] = line
        self._changed.set()

    def forget(self) -> None:
        """What was said before an event is not worth telling after it."""
        self._said.clear()

    async def wait(self, seconds: float) -> list[bytes]:
        """Lines of progress as soon as some may be told; none if there is news or the time is over."""
        until = time.monotonic() + seconds
        while not self.news and (now := time.monotonic()) < until:
            if due := [function for function in self._said if self._next.get(function, 0) <= now]:
                self._next.update(dict.fromkeys(due, now + PROGRESS_SECONDS))
                return [self._said.pop(function) for function in due]
            self._changed.clear()
            try:
                async with asyncio.timeout(min([until, *(self._next[function] for function in self._said)]) - now):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return []
