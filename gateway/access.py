"""What every request leaves behind: one log line and two figures. No tokens, no file names, no query strings."""

import time
from http import HTTPStatus
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("tidegate_http_requests_total", "Requests by route and status.", ["method", "route", "status"])
SECONDS = Histogram(
    "tidegate_http_seconds",
    "Time to the first byte of the answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
log: Any = structlog.get_logger()


class Access:
    """Counts, times and logs requests by their route, never by their path: paths are the client's words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def noting(message: Message) -> None:
            if (status := _status(message)) is not None:
                _note(scope, status, time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            # Answered further out, where nobody counts.
            _note(scope, HTTPStatus.INTERNAL_SERVER_ERROR, time.perf_counter() - began)
            raise


def _status(message: Message) -> int | None:
    """The status that a message begins an answer with."""
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            return int(message["status"])
        case "websocket.accept":
            return HTTPStatus.SWITCHING_PROTOCOLS
        case _:
            return None


def _note(scope: Scope, status: int, seconds: float) -> None:
    route: str = getattr(scope.get("route"), "path", "none")
    method = scope.get("method", "WEBSOCKET")
    method = method if method in METHODS else "other"
    REQUESTS.labels(method, route, status).inc()
    SECONDS.labels(route).observe(seconds)
    if route not in _QUIET:
        log.info("http.request", method=method, route=route, status=int(status), ms=round(seconds * 1000, 1))
