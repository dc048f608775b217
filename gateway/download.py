"""A file's bytes through the gateway, in flat memory: no faster from MinIO than the client takes them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
from fastapi import Response
from starlette.types import Receive, Scope, Send

from gateway.stream import left, until_over
from infra.errors import DependencyDown

# The server gives those who are still reading eight seconds when it stops.
LAST_BYTES_SECONDS: Final = 6.0

log = structlog.get_logger()


class Download(Response):
    """Sends what is opened, as it comes; opened only once the answer is sent, so that nothing is left open.

    Args:
        status: 200, or 206 for a part.
        headers: The answer's headers, the length among them.
        opened: The bytes; what it raises when it is entered is answered as an error.
        ending: Set when the server stops.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        opened: AbstractAsyncContextManager[AsyncIterator[bytes]],
        ending: asyncio.Event,
    ) -> None:
        super().__init__(status_code=status)
        del self.headers["content-length"]
        self.headers.update(headers)
        self._opened = opened
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Serve one client until it has all, leaves, or the server stops.

        A body that ends early is left unfinished: the server closes the connection, and the client knows by the length.
        """
        async with self._opened as chunks:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                await until_over(_send(chunks, send), left(receive), self._ending, farewell=LAST_BYTES_SECONDS)
            except DependencyDown as error:
                log.warning("download.interrupted", error=str(error))


async def _send(chunks: AsyncIterator[bytes], send: Send) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
