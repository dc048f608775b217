"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) that leave nothing behind."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import ExitStack, aclosing, suppress
from http import HTTPStatus
from typing import Any, Final

from fastapi import Response
from starlette.types import Receive, Scope, Send

from gateway.problems import ProblemError

LAST_WORD_SECONDS: Final = 5.0
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx holds answers back otherwise
}


def frame(event: str, data: bytes, sequence: int | None = None) -> bytes:
    """One event; `data` is a single line."""
    head = b"" if sequence is None else b"id: %d\n" % sequence
    return head + b"event: %s\ndata: %s\n\n" % (event.encode(), data)


def last_event_id(said: str | None) -> int | None:
    """After which event a client resumes; None: it doesn't say.

    Raises:
        ProblemError: 400, it is no event's id.
    """
    if said is None:
        return None
    if not said.isascii() or not said.isdigit() or len(said) > len(str(2**63)):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "bad_last_event_id", "Last-Event-ID must be the id of an event of this stream."
        )
    return int(said)


class EventStream(Response):
    """Sends chunks as they come, until they end, the client leaves, the time is over or the stream is to end.

    Starlette's StreamingResponse would wait for the next chunk when the server shuts down, and leave the generator to
    the garbage collector when a send is cancelled.

    Args:
        chunks: What to send.
        ending: Set when it is to end.
        seconds: The longest time.
        farewell: How long the chunks may go on after `ending`, to say why, before they are cut off.
        held: What the chunks need as long as they come.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        *,
        ending: asyncio.Event,
        seconds: float | None = None,
        farewell: float = 0,
        held: ExitStack | None = None,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._chunks = chunks
        self._ending = ending
        self._seconds = seconds
        self._farewell = farewell
        self._held = held or ExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Serve one client until one of the four."""
        with self._held:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await until_over(
                self._send(send), left(receive), self._ending, seconds=self._seconds, farewell=self._farewell
            )
            with suppress(TimeoutError):
                # Who doesn't read can't be told that it is over either; TCP gives up on him (`gateway.server`).
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def until_over(
    sending: Coroutine[Any, Any, None],
    leaving: Coroutine[Any, Any, None],
    ending: asyncio.Event,
    *,
    seconds: float | None = None,
    farewell: float = 0,
) -> bool:
    """Send until that ends, the client leaves, the time is over or `ending` is set; nothing is left running.

    Returns:
        Whether the client is still there, as far as is known.
    """
    tasks = (asyncio.create_task(sending), asyncio.create_task(leaving), asyncio.create_task(ending.wait()))
    sent, left, ended = tasks
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and farewell:
            await asyncio.wait((sent, left), timeout=farewell, return_when=asyncio.FIRST_COMPLETED)
    finally:
        here = not left.done()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not sent.cancelled() and (error := sent.exception()) is not None and not isinstance(error, OSError):
        raise error
    return here


async def left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
