"""The process: uvicorn from the settings, and an end without loose ends."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from socket import IPPROTO_TCP, SO_SNDBUF, SOL_SOCKET, TCP_USER_TIMEOUT, fromfd, socket

import structlog
import uvicorn
from fastapi import FastAPI

from gateway.app import connected_app
from gateway.connection import Connection
from gateway.takers import Takers
from infra.settings import Settings

# A POST waits for NATS for five seconds at most.
GRACE_SECONDS = 8
STALLED_SECONDS = 30
# Longer than nginx and AWS's balancers (60 s), Traefik (90 s) and Caddy (120 s) keep a connection without a request:
# whoever closes first must not be the one to whom a request may be on its way.
KEEP_ALIVE_SECONDS = 130
# Linux would let four megabytes wait for each client that reads slowly.
SEND_BUFFER = 128 * 1024
log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn that ends open event streams first, and leaves the exit code to the caller.

    Args:
        app: The application.
        settings: Host and port; 0 is a free one.
        own_signals: Whether SIGTERM and SIGINT end it; False: whoever embeds it sets `should_exit`.
    """

    def __init__(self, app: FastAPI, settings: Settings, *, own_signals: bool = True) -> None:
        config = uvicorn.Config(
            app,
            host=settings.gateway_host,
            port=settings.gateway_port,
            http=Connection,
            ws="websockets-sansio",
            # Clients of /v1/events have nothing to say; packing each event for each of them costs more than it saves.
            ws_max_size=1024,
            ws_per_message_deflate=False,
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self._app = app
        self._own_signals = own_signals
        self.listening = asyncio.Event()
        self.url = ""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        if self.started:
            for listening in self.servers[0].sockets:
                _mind_who_does_not_read(listening)
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.url = f"http://{host}:{port}"
            log.info("gateway.listening", url=self.url)
            self.listening.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """End the streams, finish what runs, close."""
        self._app.state.services.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """End at SIGTERM and SIGINT; uvicorn's own would raise them again, and the exit would look like a crash."""
        if not self._own_signals:
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _mind_who_does_not_read(listening: socket) -> None:
    """Bound what waits in the kernel for a client, and let it cut off who takes nothing for so long: nothing else can.

    Accepted connections inherit both: https://man7.org/linux/man-pages/man7/tcp.7.html, TCP_USER_TIMEOUT.
    """
    with fromfd(listening.fileno(), listening.family, listening.type) as own:
        own.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
        own.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, int(STALLED_SECONDS * 1000))


async def serve(settings: Settings, *, takers: Takers | None = None, stop: asyncio.Event | None = None) -> bool:
    """Run the gateway until SIGTERM, or until `stop` is set where the caller has the signals.

    Returns:
        False if it could not start, or NATS closed the connection for good.
    """
    refused: list[str] = []

    def closed(reason: str) -> None:
        log.error("gateway.nats_closed", reason=reason)
        refused.append(reason)
        server.should_exit = True

    app = connected_app(settings, takers=takers, on_closed=closed)
    server = Server(app, settings, own_signals=stop is None)
    stopping = asyncio.create_task(_stop(server, stop)) if stop else None
    try:
        await server.serve()
    finally:
        if stopping:
            stopping.cancel()
    return bool(server.url) and not refused


async def _stop(server: Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True
