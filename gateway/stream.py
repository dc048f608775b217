"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) that leave nothing behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Response
from starlette.types import Receive, Scope, Send

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx holds answers back otherwise
}


def frame(event: str, data: bytes, sequence: int | None = None) -> bytes:
    """One event; `data` is a single line."""
    head = b"" if sequence is None else b"id: %d\n" % sequence
    return head + b"event: %s\ndata: %s\n\n" % (event.encode(), data)


class EventStream(Response):
    """Sends chunks as they come, until they end, the client leaves, the time is over or the server is closing.

    Starlette's StreamingResponse would wait for the next chunk when the server shuts down, and leave the generator to
    the garbage collector when a send is cancelled.
    """

    def __init__(self, chunks: AsyncGenerator[bytes], *, closing: asyncio.Event, seconds: float) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._chunks = chunks
        self._closing = closing
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Serve one client until one of the four."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        closing = asyncio.create_task(self._closing.wait())
        tasks = (sending, leaving, closing)
        try:
            await asyncio.wait(tasks, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not sending.cancelled() and (error := sending.exception()) is not None and not isinstance(error, OSError):
            raise error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
