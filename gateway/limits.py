"""No request is larger than the largest wish: files go to MinIO, never through here."""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import ProblemError

# File name, audience and context at their bounds, every character escaped as \uXXXX, and some air.
LARGEST_BODY: Final = 192 * 1024


def too_large() -> ProblemError:
    """413, and the connection ends: the rest of the body is not read."""
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"A request has {LARGEST_BODY} bytes at most. Send the file to the URL that POST /v1/uploads answers with.",
        {"connection": "close"},
    )


class BodyLimit:
    """Refuses a longer body by its declared length, or where it turns out to be longer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _declared(scope) > LARGEST_BODY:
            await too_large().response()(scope, receive, send)
            return
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > LARGEST_BODY:
                raise too_large()
            return message

        await self._app(scope, counting, send)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
