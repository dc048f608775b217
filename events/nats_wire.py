"""What comes off the wire: messages, the subscriptions they arrive at, and nats-py's client with a shorter way between.

A message goes from the parser straight to its subscription's function, without a queue and a task between.
"""

# nats-py's own unsubscribe(), drain() and flush() drop what is on its way, wait for a queue that isn't used here, or
# overtake what they should follow; `tests/events` notices if what is used instead changes.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import structlog
from nats.aio.client import Client
from nats.aio.subscription import Subscription as NatsSubscription

log = structlog.get_logger(__name__)


class Received:
    """A message as it came off the wire; headers are parsed when asked for."""

    __slots__ = ("_headers", "_raw", "data", "reply", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, raw: bytes | None) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self._raw = raw
        self._headers: dict[str, str] | None = None

    @property
    def status(self) -> int:
        """The status of a server's control message, 0 for a message."""
        raw = self._raw
        if not raw or raw[8:9] != b" ":
            return 0
        digits = raw[9:12]
        return int(digits) if digits.isdigit() else 0

    @property
    def description(self) -> str:
        """The words beside the status."""
        return self._raw.split(b"\r\n", 1)[0][12:].strip().decode("utf-8", "replace") if self._raw else ""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, names as they were sent; of a repeated name the last."""
        if self._headers is None:
            self._headers = parse_headers(self._raw) if self._raw else {}
        return self._headers


def parse_headers(raw: bytes) -> dict[str, str]:
    """Parse a header block: a `NATS/1.0` line, then `Name: value` lines, each ended by CR LF."""
    headers: dict[str, str] = {}
    for line in raw.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().decode("utf-8", "replace")] = value.strip().decode("utf-8", "replace")
    return headers


Handler = Callable[[Received], None]


class WireClient(Client):
    """nats-py's client with a way past its per-subscription queue."""

    def __init__(self) -> None:
        super().__init__()
        self.direct: dict[int, Handler] = {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        handler = self.direct.get(sid)
        if handler is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            call(handler, Received(subject.decode(), reply.decode(), data, headers))

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py writes a ping past what it has buffered: its pong would not say that the server has seen that.
        self._pending_pongs().append(future or asyncio.get_running_loop().create_future())
        await self._send_command(b"PING\r\n")
        await self._flush_pending()

    def _pending_pongs(self) -> list[asyncio.Future[Any]]:
        return cast("list[asyncio.Future[Any]]", self._pongs)

    async def _process_pong(self) -> None:
        # nats-py sets the result of a flush that was given up, raises, and its read loop dies of it.
        pongs = self._pending_pongs()
        if pongs and pongs[0].done():
            pongs.pop(0)
            self._pings_outstanding = 0
        else:
            await super()._process_pong()


def call(handler: Handler, message: Received) -> None:
    """Call a handler; whatever it raises must not end the read loop."""
    try:
        handler(message)
    except Exception:
        log.exception("nats.handler_failed", subject=message.subject)


class Listening:
    """A subscription to a subject; made again by itself after a reconnect."""

    def __init__(self, client: WireClient, subject: str, subscription: NatsSubscription) -> None:
        self._client = client
        self._subject = subject
        self._subscription = subscription

    async def leave(self) -> None:
        """Ask the server to send nothing more; what is on its way is handled until `forget`."""
        if self._client.is_connected:
            await self._client._send_unsubscribe(self._subscription._id)

    def forget(self) -> None:
        """Handle nothing more, and don't subscribe again after a reconnect."""
        self._client.direct.pop(self._subscription._id, None)
        self._client._remove_sub(self._subscription._id)
        self._subscription._stop_processing()


class Inbox(Listening):
    """A subscription to reply addresses of one's own."""

    def address(self, token: str) -> str:
        """A reply subject that arrives here."""
        return f"{self._subject.rpartition('.')[0]}.{token}"
