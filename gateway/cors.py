"""Cross-origin requests of web pages that upload and players on other people's pages (https://fetch.spec.whatwg.org/).

Everybody's pages may, at first: no address of the API answers without a grant or token, and a browser adds neither by
itself as it would a cookie. So credentials are never allowed, and a page can do nothing that its own server couldn't do
as well. What needs no token (health, metrics) answers pages of its own origin alone.
"""

import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_API: Final = "/v1/"
_DELIVERY: Final = re.compile(r"/v1/media/[^/]+/(files/.+|file|hls/.+|dash/.+|vtt/.+)")
_EXPOSED: Final = (
    "Accept-Ranges, Content-Length, Content-Location, Content-Range, ETag, Last-Modified, Retry-After, Tidegate-Quality"
)
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, HEAD, POST, DELETE",
    # `Traceparent` is what a page's own tracing adds to whatever it fetches (https://www.w3.org/TR/trace-context/).
    "access-control-allow-headers": (
        "Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, "
        "Last-Event-ID, Range, Traceparent, Tracestate"
    ),
    "access-control-max-age": "7200",
}


class Cors:
    """Adds what browsers ask for to answers of the API, and answers preflights."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._everybody = "*" in origins
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_API):
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        allowed = self._allowed(asked.get("origin"))
        embedded = _DELIVERY.fullmatch(scope["path"]) is not None
        if scope["method"] == "OPTIONS" and "access-control-request-method" in asked:
            answer = Response(status_code=204, headers=_PREFLIGHT if allowed else None)
            self._add(answer.headers, allowed, embedded=embedded)
            await answer(scope, receive, send)
            return

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message), allowed, embedded=embedded)
            await send(message)

        await self._app(scope, receive, adding)

    def _allowed(self, origin: str | None) -> str:
        if self._everybody:
            return "*"
        return origin if origin in self._origins and origin else ""

    def _add(self, headers: MutableHeaders, allowed: str, *, embedded: bool) -> None:
        if allowed:
            headers["access-control-allow-origin"] = allowed
            headers["access-control-expose-headers"] = _EXPOSED
            if embedded:
                # For pages that let nothing in that doesn't say so (https://html.spec.whatwg.org/#coep).
                headers["cross-origin-resource-policy"] = "cross-origin"
        if not self._everybody:
            headers.add_vary_header("Origin")
