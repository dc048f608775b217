"""One connection to NATS: requests that end in time, and what happens when it breaks.

nats-py does the connecting, reconnecting and protocol; requests are made here. Waiting ones are told at once when the
connection breaks, and none is started while there is no connection, so nothing is buffered behind a caller's back.
What was written just before the break may still reach the server after the reconnect though its caller has given up:
a publish is made harmless by its message id.
"""

# See `events.nats_wire` for why nats-py's own methods don't do.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import structlog
from nats.aio.client import Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError
from nats.nuid import NUID

from events.bus import BusClosed, BusDown, BusError
from events.nats_wire import Handler, Inbox, Listening, Received, WireClient, call

log = structlog.get_logger(__name__)

API_SECONDS = 5.0
CONNECT_SECONDS = 2
# Before the next attempt to reconnect: random, up to the first figure doubled for each failure, up to the second.
RECONNECT_SECONDS = 0.1
RECONNECT_MAX_SECONDS = 2.0
# A server that is frozen but connected is given up after the third ping: 15 to 20 seconds.
PING_SECONDS = 5
PINGS_OUTSTANDING = 2
# nats-py goes on trying with credentials that the server refuses; the Go client gives up at the second refusal.
REFUSALS = 2

L = TypeVar("L", bound=Listening)

# The status of an answer when nobody takes a request's subject.
NO_RESPONDERS = 503


class Link:
    """A connection that reconnects for ever, until its credentials are refused or it is closed.

    `lost` and `restored` hold what is called when the connection breaks and when it is back.
    """

    def __init__(self, user: str, on_closed: Callable[[str], None] | None) -> None:
        self.user = user
        self.lost: list[Callable[[], None]] = []
        self.restored: list[Callable[[], None]] = []
        self._client = WireClient()
        self._on_closed = on_closed
        self._prefix = f"_INBOX_{user}" if user else "_INBOX"
        self._names = NUID()
        self._count = 0
        self._waiting: dict[str, tuple[str, Handler, asyncio.Future[Any]]] = {}
        self._mailbox: Inbox | None = None
        self._settled = asyncio.Event()
        self._closing = False
        self._refused = 0
        self._reason = "closed"

    @classmethod
    async def open(cls, url: str, *, name: str, on_closed: Callable[[str], None] | None, timeout: float) -> "Link":
        """Connect to one of the comma-separated servers in `url`.

        Raises:
            BusDown: no server could be reached within `timeout` seconds.
            BusClosed: the server refused the credentials.
        """
        servers = [server.strip() for server in url.split(",") if server.strip()]
        parts = urlsplit(servers[0])
        where = ", ".join(urlsplit(server).netloc.rpartition("@")[2] for server in servers)
        user = unquote(parts.username) if parts.username and parts.password else ""
        link = cls(user, on_closed)
        password = unquote(parts.password or "")
        try:
            async with asyncio.timeout(timeout):
                await link._connect(servers, name, password)
        except (OSError, TimeoutError, NatsError) as error:
            await link.aclose()
            if _refusal(error):
                raise BusClosed(f"NATS at {where} refuses user {user!r}: check the credentials") from error
            raise BusDown(f"NATS at {where} can't be reached: {error or 'no answer'}") from error
        return link

    async def _connect(self, servers: list[str], name: str, password: str) -> None:
        await self._client.connect(
            servers,
            name=name,
            inbox_prefix=self._prefix,
            connect_timeout=CONNECT_SECONDS,
            # For the first connection: a refusal is raised instead of tried again for ever.
            allow_reconnect=False,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            reconnect_to_server_handler=_next_server,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=PINGS_OUTSTANDING,
            # 0: nothing is buffered while there is no connection.
            pending_size=0,
            error_cb=self._failed,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
            user=self.user or None,
            password=password or None,
        )
        self._client.options["allow_reconnect"] = True
        self._mailbox = await self.inbox(self._answered)
        self._settled.set()

    @property
    def up(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._settled.is_set() and self._client.is_connected

    async def wait_up(self) -> None:
        """Return when there is a connection.

        Raises:
            BusClosed: there will be none.
        """
        await self._settled.wait()
        if self._client.is_closed:
            raise BusClosed(f"the connection to NATS is closed: {self._reason}")

    async def aclose(self) -> None:
        """Close; `on_closed` is not called."""
        self._closing = True
        try:
            # Closing writes what is pending, and a frozen server takes nothing.
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.close()
        except TimeoutError:
            log.warning("nats.close_timeout")

    async def request(
        self, subject: str, payload: bytes = b"", *, headers: dict[str, str] | None = None, timeout: float = API_SECONDS
    ) -> Received:
        """Publish and return the first answer; a status such as 503 (no responders) is one.

        Raises:
            BusDown: no answer within `timeout` seconds.
        """
        future: asyncio.Future[Received] = asyncio.get_running_loop().create_future()

        def answered(message: Received) -> None:
            if not future.done():
                future.set_result(message)

        await self._ask(subject, payload, headers, timeout, answered, future)
        return future.result()

    async def collect(
        self, subject: str, payload: bytes, last: Callable[[Received], bool], *, timeout: float = API_SECONDS
    ) -> list[Received]:
        """Publish and return all answers up to the one for which `last` is true, that one included.

        Raises:
            BusDown: the last answer did not come within `timeout` seconds.
        """
        answers: list[Received] = []
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answered(message: Received) -> None:
            answers.append(message)
            if not future.done() and last(message):
                future.set_result(None)

        await self._ask(subject, payload, None, timeout, answered, future)
        return answers

    async def _ask(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None,
        timeout: float,
        answered: Handler,
        future: asyncio.Future[Any],
    ) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout, _expire, future, f"{subject}: no answer within {timeout:g} s")
        self._count += 1
        token = str(self._count)
        try:
            if not self.up:
                await self._wait_up_or(future)
            self._waiting[token] = (subject, answered, future)
            assert self._mailbox is not None
            await self.send(subject, payload, reply=self._mailbox.address(token), headers=headers)
            await future
        finally:
            timer.cancel()
            self._waiting.pop(token, None)
            future.cancel()

    async def _wait_up_or(self, future: asyncio.Future[Any]) -> None:
        waiter = asyncio.ensure_future(self.wait_up())
        try:
            await asyncio.wait((waiter, future), return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                future.result()
            waiter.result()
        finally:
            waiter.cancel()

    async def send(
        self, subject: str, payload: bytes = b"", *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish without an answer.

        Raises:
            BusDown: there is no connection.
            BusClosed: there will be none.
            BusError: the message is malformed or too large.
        """
        try:
            await self._client.publish(subject, payload, reply, headers)
        except NatsError as error:
            if self._client.is_closed:
                raise BusClosed(f"the connection to NATS is closed: {self._reason}") from error
            if not self._client.is_connected:
                raise BusDown(f"{subject}: not connected to NATS") from error
            raise BusError(f"{subject}: {error}") from error

    async def inbox(self, handler: Handler, *, addresses: str = "*") -> Inbox:
        """Subscribe `handler`, called on the event loop, to new reply addresses of its own, or to the one named.

        Raises:
            BusDown: the connection is closed.
        """
        return await self._subscribe(Inbox, f"{self._prefix}.{self._names.next().decode()}.{addresses}", handler)

    async def listen(self, subject: str, handler: Handler) -> Listening:
        """Subscribe `handler`, called on the event loop, to a subject.

        Raises:
            BusDown: the connection is closed.
        """
        return await self._subscribe(Listening, subject, handler)

    async def _subscribe(self, kind: type[L], subject: str, handler: Handler) -> L:
        async def handle(message: Msg) -> None:
            # Only if nats-py stops calling `_process_msg`: slower, and status messages look like empty ones.
            call(handler, Received(message.subject, message.reply, message.data, None))

        try:
            subscribe = cast("Callable[..., Awaitable[NatsSubscription]]", self._client.subscribe)
            subscription = await subscribe(subject, cb=handle)
        except NatsError as error:
            raise BusDown(f"{subject}: can't subscribe: {error}") from error
        self._client.direct[subscription._id] = handler
        return kind(self._client, subject, subscription)

    async def flush(self, timeout: float = API_SECONDS) -> None:
        """Return when the server has seen all that was sent, and all it had sent before has been handled.

        Raises:
            BusDown: not within `timeout` seconds, or the connection broke.
        """
        if not self.up:
            raise BusDown("not connected to NATS")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(timeout, _expire, future, f"NATS: no pong within {timeout:g} s")
        self._count += 1
        token = str(self._count)
        self._waiting[token] = ("PING", lambda _: None, future)
        try:
            await self._client._send_ping(future)
            await future
        finally:
            timer.cancel()
            self._waiting.pop(token, None)
            future.cancel()

    def _answered(self, message: Received) -> None:
        entry = self._waiting.get(message.subject.rpartition(".")[2])
        if entry:
            entry[1](message)

    def _fail_waiting(self, error: BusError) -> None:
        for _, _, future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(error)

    async def _disconnected(self) -> None:
        if not self._settled.is_set() or self._closing:
            return
        if not self._client.is_closed:
            self._settled.clear()
            log.warning("nats.disconnected", user=self.user)
        self._fail_waiting(BusDown("the connection to NATS broke before an answer came"))
        for tell in list(self.lost):
            tell()

    async def _reconnected(self) -> None:
        self._refused = 0
        self._settled.set()
        log.info("nats.reconnected", user=self.user)
        for tell in list(self.restored):
            tell()

    async def _closed(self) -> None:
        reason = self._reason if self._closing else str(self._client.last_error or self._reason)
        self._reason = reason
        self._settled.set()
        self._fail_waiting(BusClosed(f"the connection to NATS is closed: {reason}"))
        for tell in list(self.restored):
            tell()
        if not self._closing:
            log.error("nats.closed", user=self.user, reason=reason)
            if self._on_closed:
                self._on_closed(reason)

    async def _failed(self, error: Exception) -> None:
        if self._client.is_connecting and self._client._transport is not None:
            # nats-py forgets the connection of an attempt that failed after it was made.
            self._client._transport.close()
        text = str(error).lower()
        if "permissions violation" in text:
            log.error("nats.permission", user=self.user, error=str(error))
            for subject, _, future in list(self._waiting.values()):
                if f'"{subject.lower()}"' in text and not future.done():
                    future.set_exception(BusDown(f"{subject}: NATS user {self.user!r} may not publish there"))
        elif _refusal(error):
            self._refused += 1
            self._reason = str(error)
            if self._refused >= REFUSALS and not self._client.is_closed:
                self._closer = asyncio.ensure_future(self._client.close())
        else:
            log.debug("nats.error", user=self.user, error=repr(error))


def _expire(future: asyncio.Future[Any], text: str) -> None:
    if not future.done():
        future.set_exception(BusDown(text))


def _refusal(error: Exception) -> bool:
    text = str(error).lower()
    return "authorization" in text or "authentication" in text


def _next_server(pool: list[Server], _info: dict[str, Any]) -> tuple[Server | None, float]:
    server = min(pool, key=lambda candidate: (candidate.reconnects, random.random()))  # noqa: S311 # spreads load, no secret
    most = min(RECONNECT_MAX_SECONDS, RECONNECT_SECONDS * 2.0**server.reconnects)
    return server, random.uniform(0, most)  # noqa: S311 # jitter, no secret
