"""A durable pull consumer on NATS, bound by credit: no more messages arrive than were asked for.

The server counts requests, not slots, so the books are kept here. Credit is what the worker granted and has not
received; a part of it is asked for in open pull requests, the rest waits to be. A request ends by being served, or
with a status that says how much of it is left. One whose end is never heard (its server died, the connection broke)
would take its credit with it, so requests are grouped in rounds, each with reply addresses of its own: when a round
is over, its addresses are given up, and after a round trip nothing can arrive there any more. What it still owes is
asked for again, exactly once.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from events.bus import BusClosed, BusDown, BusError, Message
from events.nats_link import NO_RESPONDERS, Link
from events.nats_take import Taker
from events.nats_wire import Inbox, Received

log = structlog.get_logger(__name__)

# An idle consumer costs one request in this time, and a lost request is noticed a second after it.
EXPIRES_SECONDS = 5
LATE_SECONDS = 1.0
# Under load, requests overlap without a gap: how long until the books are closed and a lost one can show.
ROUND_SECONDS = 15.0
# A consumer that does not exist is asked for again after this pause.
RETRY_SECONDS = 1.0
ACK_SECONDS = 5.0
LOOK_SECONDS = 1.0
BAD_REQUEST = 400
TIMED_OUT = 408
NANOSECONDS = 1_000_000_000


class NatsMessage:
    """One delivery. Its reply subject carries the numbers and is the address of the acknowledgement.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<time>.<pending>`, or with a domain and an
    account hash after `ACK`.
    """

    __slots__ = ("_delivered", "_link", "_received", "_sequence")

    def __init__(self, link: Link, received: Received) -> None:
        self._link = link
        self._received = received
        self._sequence = 0
        self._delivered = 0

    def _parse(self) -> None:
        tokens = self._received.reply.split(".")
        first = 4 if len(tokens) == 9 else 6  # noqa: PLR2004 # the two forms above
        self._delivered = int(tokens[first])
        self._sequence = int(tokens[first + 1])

    @property
    def subject(self) -> str:
        """The subject it was published on."""
        return self._received.subject

    @property
    def data(self) -> bytes:
        """The payload."""
        return self._received.data

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers; names as they were sent."""
        return self._received.headers

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""
        if not self._sequence:
            self._parse()
        return self._sequence

    @property
    def delivered(self) -> int:
        """How many times it was delivered, this one included."""
        if not self._delivered:
            self._parse()
        return self._delivered

    async def ack(self, *, confirmed: bool = True) -> None:
        """Acknowledge; see `events.bus.Message.ack`. The server queues a consumer's acknowledgements in order.

        Raises:
            BusDown: not confirmed; the message may come again.
        """
        if not confirmed:
            await self._link.send(self._received.reply, b"+ACK")
            return
        answer = await self._link.request(self._received.reply, b"+ACK", timeout=ACK_SECONDS)
        if answer.status == NO_RESPONDERS:
            raise BusDown(f"{self.subject}: nobody takes its acknowledgement: consumer deleted or without a leader")

    async def nak(self, delay: float = 0) -> None:
        """Ask for it again after `delay` seconds."""
        body = b"-NAK " + json.dumps({"delay": int(delay * NANOSECONDS)}).encode() if delay > 0 else b"-NAK"
        await self._tell(body)

    async def in_progress(self) -> None:
        """Restart `ack_wait`."""
        await self._tell(b"+WPI")

    async def _tell(self, body: bytes) -> None:
        try:
            await self._link.send(self._received.reply, body)
        except (BusDown, BusClosed) as error:
            log.debug("nats.not_told", subject=self.subject, body=body, error=str(error))


class _Round:
    """Pull requests with the same reply addresses, and how many messages they still owe."""

    def __init__(self, now: float) -> None:
        self.asked = 0
        self.born = now
        self.ends = now
        self.inbox: Inbox | None = None

    def forget(self) -> int:
        """Give up the addresses; return what was still owed."""
        if self.inbox:
            self.inbox.forget()
        owed, self.asked = self.asked, 0
        return owed


class NatsSubscription:
    """See `events.bus.Subscription`."""

    def __init__(self, link: Link, stream: str, consumer: str, deliver: Callable[[Message], None]) -> None:
        self._link = link
        self._stream = stream
        self._consumer = consumer
        self._deliver = deliver
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._taker = Taker(link, self._next)
        self._stepping = asyncio.Lock()
        self._credit = 0
        self._round: _Round | None = None
        self._over: list[_Round] = []
        self._bound = False
        self._missing = False
        self._retry_at = 0.0
        self._wake = asyncio.Event()
        self._draining = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look whether the consumer exists, and begin to serve the credit."""
        self._link.lost.append(self._lost)
        self._link.restored.append(self._wake.set)
        await self._look()
        self._task = asyncio.create_task(self._serve(), name=f"pull {self._stream}.{self._consumer}")

    @property
    def bound(self) -> bool:
        """False while the consumer does not exist or the server does not answer for it."""
        return self._bound and self._link.up

    def want(self, count: int) -> None:
        """Grant credit for `count` messages more."""
        self._credit += count
        if self._worth_asking:
            self._wake.set()

    @property
    def _worth_asking(self) -> bool:
        """Whether to send a request: while the server still owes more than that, nobody waits for it."""
        return bool(self._credit) and (self._round is None or self._credit >= self._round.asked)

    async def take(self) -> bool:
        """See `events.bus.Subscription.take`."""
        answer = await self._taker.take(self._came)
        if answer is not None and answer.status == NO_RESPONDERS:
            self._found(there=False)
        return answer is not None and answer.status == 0

    async def recall(self) -> None:
        """See `events.bus.Subscription.recall`."""
        async with self._stepping:
            self._credit = 0
            rounds, self._round, self._over = self._rounds(), None, []
            await self._end(rounds)
            # What ended meanwhile was given back.
            self._credit = 0

    async def drain(self) -> None:
        """Ask for nothing more; return when nothing can arrive. What arrived has been delivered."""
        self._draining = True
        self._wake.set()
        task, self._task = self._task, None
        if task is None:
            return
        await task
        await self._end(self._rounds())
        self._taker.close()
        self._link.lost.remove(self._lost)
        self._link.restored.remove(self._wake.set)

    async def _end(self, rounds: list[_Round]) -> None:
        """Give up their addresses after a round trip, when nothing can arrive there any more."""
        if not rounds:
            return
        try:
            for each in rounds:
                await _leave(each)
            await self._link.flush()
        except BusError as error:
            log.debug("nats.end_unconfirmed", consumer=self._consumer, error=str(error))
        for each in rounds:
            each.forget()

    def _rounds(self) -> list[_Round]:
        return [*self._over, self._round] if self._round else list(self._over)

    async def _look(self) -> None:
        """Say early whether the consumer exists; without the right to ask, the first pull request tells."""
        subject = f"$JS.API.CONSUMER.INFO.{self._stream}.{self._consumer}"
        try:
            answer = await self._link.request(subject, timeout=LOOK_SECONDS)
        except BusError:
            return
        if answer.status == 0:
            self._found(there="error" not in json.loads(answer.data))

    def _found(self, *, there: bool) -> None:
        if there and self._missing:
            log.info("nats.consumer_back", stream=self._stream, consumer=self._consumer)
        elif not there and not self._missing:
            log.warning("nats.consumer_missing", stream=self._stream, consumer=self._consumer)
        self._bound = there
        self._missing = not there

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._draining:
            self._wake.clear()
            try:
                if self._link.up:
                    async with self._stepping:
                        await self._step(loop.time())
            except BusClosed:
                return
            except BusError as error:
                log.debug("nats.pull_failed", consumer=self._consumer, error=str(error))
                self._retry_at = loop.time() + RETRY_SECONDS
            due = self._due(loop.time())
            timer = loop.call_later(due, self._wake.set) if due is not None else None
            await self._wake.wait()
            if timer:
                timer.cancel()

    def _due(self, now: float) -> float | None:
        """Seconds until there is something to do without being woken."""
        times = [each.ends + LATE_SECONDS for each in self._rounds() if each is not self._round or each.asked]
        if self._worth_asking:
            times.append(self._retry_at)
        return max(0.0, min(times) - now) if times and self._link.up else None

    async def _step(self, now: float) -> None:
        current = self._round
        if current and current.asked and now >= current.ends + LATE_SECONDS:
            log.warning("nats.pull_lost", consumer=self._consumer, messages=current.asked)
            self._retire(current)
        for each in [each for each in self._over if now >= each.ends + LATE_SECONDS]:
            await self._reclaim(each)
        if self._worth_asking and now >= self._retry_at and not self._draining:
            await self._ask(now)

    def _retire(self, current: _Round) -> None:
        self._over.append(current)
        self._round = None

    async def _reclaim(self, over: _Round) -> None:
        await _leave(over)
        await self._link.flush()
        if over in self._over:
            self._over.remove(over)
            self._credit += over.forget()

    async def _ask(self, now: float) -> None:
        current = self._round
        if current and now - current.born > ROUND_SECONDS:
            if current.asked:
                self._retire(current)
                current = None
            else:
                current.born = now
        if current is None:
            current = _Round(now)
            current.inbox = await self._link.inbox(partial(self._received, current))
            self._round = current
        assert current.inbox
        count, self._credit = self._credit, 0
        current.asked += count
        current.ends = now + EXPIRES_SECONDS
        body = b'{"batch":%d,"expires":%d}' % (count, EXPIRES_SECONDS * NANOSECONDS)
        try:
            # A request answered by a status gives its address back, so the address says how much was asked.
            await self._link.send(self._next, body, reply=current.inbox.address(str(count)))
        except BusError:
            if current is self._round:
                current.asked -= count
                self._credit += count
            raise
        if not self._bound:
            # The answer "nobody takes this subject" precedes the pong.
            await self._link.flush()
            if now >= self._retry_at:
                self._found(there=True)

    def _received(self, current: _Round, received: Received) -> None:
        status = received.status
        if status:
            self._ended(current, received, status)
            return
        current.asked -= 1
        if self._worth_asking:
            self._wake.set()
        if current.asked < 0:
            log.error("nats.unasked_message", consumer=self._consumer, subject=received.subject)
        self._came(received)

    def _came(self, received: Received) -> None:
        if not self._bound:
            self._found(there=True)
        self._deliver(NatsMessage(self._link, received))

    def _ended(self, current: _Round, received: Received, status: int) -> None:
        """A request ended: take back what is left of it."""
        now = asyncio.get_running_loop().time()
        left = received.headers.get("Nats-Pending-Messages")
        asked = int(received.subject.rpartition(".")[2])
        reason = received.description
        if status == TIMED_OUT and left is not None:
            self._give_back(current, int(left))
            if not self._bound:
                self._found(there=True)
        elif status in (NO_RESPONDERS, BAD_REQUEST) or reason.startswith("Exceeded"):
            # Refused as a whole.
            self._retry_at = now + RETRY_SECONDS
            self._give_back(current, asked)
            if status == NO_RESPONDERS:
                self._found(there=False)
            else:
                log.warning("nats.pull_refused", consumer=self._consumer, status=status, reason=reason)
        else:
            # Consumer deleted, leadership change, server shutdown: how much is left is not said.
            log.info("nats.pull_ended", consumer=self._consumer, status=status, reason=reason)
            self._retry_at = now + RETRY_SECONDS
            current.ends = now - LATE_SECONDS
            if current is self._round:
                self._retire(current)
            if "Deleted" in reason:
                self._found(there=False)
        self._wake.set()

    def _give_back(self, current: _Round, count: int) -> None:
        current.asked -= count
        self._credit += count

    def _lost(self) -> None:
        """The connection broke, and every request with it; messages on their way come again after `ack_wait`."""
        self._credit += sum(each.forget() for each in self._rounds())
        self._round = None
        self._over = []
        self._taker.lost()


async def _leave(each: _Round) -> None:
    if each.inbox:
        await each.inbox.leave()
