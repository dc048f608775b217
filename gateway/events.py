"""Everything a caller may see, as it happens: server-sent events and a WebSocket at one address.

A browser's WebSocket can't send headers. It offers the token as its second subprotocol instead, after `bearer`:
`new WebSocket(url, ["bearer", token])`. Never in the query: addresses are logged by whoever passes them on.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, suppress
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from starlette.requests import HTTPConnection

from events.bus import BusError
from gateway.auth import SECURITY, bearer
from gateway.feed import Feed
from gateway.follow import RETRY_MILLISECONDS
from gateway.problems import ProblemError, described, unavailable
from gateway.query import asked, parameters
from gateway.services import services
from gateway.stream import LAST_WORD_SECONDS, EventStream, frame, last_event_id, until_over
from gateway.subscriber import Ending, Subscriber, Told
from schemas.api import EventsRequest

SUBPROTOCOL: Final = "bearer"
# Who was too slow may still be sent why, if what is on its way gets through in this time.
FAREWELL_SECONDS: Final = 5.0
_LISTS: Final = frozenset({"event", "kind"})
_MISSED: Final = "What happened before this is no longer told: ask GET /v1/media for what you have not seen."

router = APIRouter()


@router.get(
    "/v1/events",
    response_model=None,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": (
                "Events as CloudEvents, each with its id. `progress` without one, as far as the connection keeps up: "
                "{media_id, function, done, total, eta_seconds?}. `gap`: what was missed can't be told any more. "
                "`end`: {reason, detail}; a stream that ends without it was cut off, and is resumed the same way. A "
                "lone id, at first "
                "and every quarter of a minute, is a place to resume after."
            ),
        },
        **described(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={
        "security": SECURITY,
        "parameters": [
            *parameters(EventsRequest),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "Resume after this event, of this stream or of one media's; without it, from now on.",
                "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
            },
        ],
    },
)
async def events(request: Request) -> Response:
    """What happens to everything the caller may see, as server-sent events, or over a WebSocket at the same address.

    A token with scope `upload` alone is told of its own uploads. The WebSocket takes the token in the `Authorization`
    header, or as its second subprotocol after `bearer`. It sends JSON objects with `id`, `event` and `data`, and closes
    with 1012 (the gateway is stopping), 1013 (the client was too slow) or 3000 (the token has expired): connect again
    with the last id. Who reads slower than things happen is disconnected; what he missed comes when he resumes.
    """
    with ExitStack() as stack:
        feed, subscriber, place, gap = await _subscribed(request, stack)
        return EventStream(
            _frames(feed, subscriber, place, gap=gap),
            ending=subscriber.ended,
            farewell=FAREWELL_SECONDS,
            held=stack.pop_all(),
        )


@router.websocket("/v1/events")
async def events_socket(socket: WebSocket) -> None:
    """The same over a WebSocket; a refusal is an HTTP answer."""
    offered: list[str] = socket.scope["subprotocols"]
    by_protocol = offered[1] if len(offered) > 1 and offered[0] == SUBPROTOCOL else ""
    with ExitStack() as stack:
        try:
            feed, subscriber, place, gap = await _subscribed(socket, stack, by_protocol)
        except ProblemError as problem:
            await socket.send_denial_response(problem.response())
            return
        texts = _texts(feed, subscriber, place, gap=gap)
        with suppress(WebSocketDisconnect, TimeoutError):
            await socket.accept(SUBPROTOCOL if by_protocol else None)
            here = await until_over(_send(socket, texts), _left(socket), subscriber.ended, farewell=FAREWELL_SECONDS)
            if here and (ending := subscriber.ending):
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    await socket.close(ending.code, ending.sentence)


async def _subscribed(
    connection: HTTPConnection, stack: ExitStack, token: str = ""
) -> tuple[Feed, Subscriber, int, bool]:
    """Check who asks for what, and begin to listen: the feed, the subscriber, after which event, and if some are lost.

    Raises:
        ProblemError: It can't be.
    """
    at = services(connection)
    claims = bearer(connection, "read", "upload", token=token)
    wish = asked(connection, EventsRequest, lists=_LISTS)
    after = last_event_id(connection.headers.get("last-event-id", wish.last_event_id))
    seconds = max(claims.exp - time.time(), 0)
    subscriber = stack.enter_context(at.feed.subscribed(claims.readers, wish.event, wish.kind, seconds))
    try:
        return at.feed, subscriber, *await at.feed.place(after)
    except (BusError, TimeoutError):
        raise unavailable("Events can't be followed: NATS doesn't answer") from None


async def _frames(feed: Feed, subscriber: Subscriber, place: int, *, gap: bool) -> AsyncGenerator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MILLISECONDS
    if gap:
        yield frame("gap", _json(detail=_MISSED), place)
    async with aclosing(feed.told(subscriber, place)) as everything:
        async for told in everything:
            yield frame(told.name, told.data, told.sequence) if told.name else b"id: %d\n\n" % (told.sequence or 0)
    ending = subscriber.ending or Ending.CLOSING
    yield frame("end", _json(reason=ending.reason, detail=ending.sentence))


async def _texts(feed: Feed, subscriber: Subscriber, place: int, *, gap: bool) -> AsyncGenerator[str]:
    if gap:
        yield _text(Told("gap", _json(detail=_MISSED), place))
    async with aclosing(feed.told(subscriber, place)) as everything:
        async for told in everything:
            yield _text(told)


def _text(told: Told) -> str:
    members = [f'"id": {told.sequence}'] if told.sequence is not None else []
    if told.name:
        members += [f'"event": {json.dumps(told.name)}', f'"data": {told.data.decode()}']
    return "{" + ", ".join(members) + "}"


async def _send(socket: WebSocket, texts: AsyncGenerator[str]) -> None:
    async with aclosing(texts) as spoken:
        async for text in spoken:
            await socket.send_text(text)


async def _left(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _json(**members: str) -> bytes:
    return json.dumps(members).encode()
