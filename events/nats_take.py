"""One message that is there already: a pull request that doesn't wait."""

import asyncio

import structlog

from events.bus import BusError
from events.nats_link import Link
from events.nats_wire import Handler, Inbox, Received

log = structlog.get_logger(__name__)

# The server answers at once, except to who was told by its books that there is a message and loses it to somebody
# else: that request would wait for the next one.
ANSWER_SECONDS = 1.0


class Taker:
    """Takes messages of one consumer one by one."""

    def __init__(self, link: Link, subject: str) -> None:
        self._link = link
        self._subject = subject
        self._inbox: Inbox | None = None
        self._left: list[Inbox] = []
        self._came: Handler | None = None
        self._answer: asyncio.Future[Received] | None = None

    async def take(self, came: Handler) -> Received | None:
        """Ask; a message is given to `came` first. The server's answer, None when there is none."""
        if not self._link.up:
            return None
        self._came = came
        answer = self._answer = asyncio.get_running_loop().create_future()
        try:
            if self._inbox is None:
                self._inbox = await self._link.inbox(self._received)
            await self._link.send(self._subject, b'{"batch":1,"no_wait":true}', reply=self._inbox.address("1"))
            await asyncio.wait([answer], timeout=ANSWER_SECONDS)
            if not answer.done():
                await self._give_up()
        except BusError as error:
            log.debug("nats.not_taken", subject=self._subject, error=str(error))
        finally:
            self._answer = None
        return answer.result() if answer.done() and not answer.cancelled() else None

    def lost(self) -> None:
        """The connection broke, and nobody answers any more."""
        if self._answer is not None:
            self._answer.cancel()
        self.close()

    async def _give_up(self) -> None:
        """Leave the address: after a round trip nothing can arrive there; what does until then has come.

        Raises:
            BusDown: the server is frozen. What it sends when it goes on will have come.
        """
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            self._left.append(inbox)
            await inbox.leave()
        await self._link.flush(ANSWER_SECONDS)
        self.close()

    def close(self) -> None:
        """Have no address any more."""
        gone = [*self._left, self._inbox] if self._inbox else self._left
        for inbox in gone:
            inbox.forget()
        self._inbox, self._left = None, []

    def _received(self, received: Received) -> None:
        if not received.status and self._came is not None:
            self._came(received)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(received)
