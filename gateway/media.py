"""One media: where it is, what happens to it, and its end."""

import time
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from events.bus import BusError
from events.envelope import HEADERS, begin, derive_id
from gateway.auth import SECURITY, bearer
from gateway.follow import follow, is_over
from gateway.lookup import find
from gateway.problems import ProblemError, described, unavailable
from gateway.services import services
from gateway.stream import EventStream, last_event_id
from gateway.uploads import SOURCE
from gateway.view import in_order, status
from schemas.api import Deletion, MediaStatus
from schemas.events import Deleted
from schemas.media import Media
from schemas.subjects import FIRST_RUN, Subject
from schemas.waiting import waiting

router = APIRouter(prefix="/v1/media")
_ERRORS = described(
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_EXTRA = {"security": SECURITY}


@router.get(
    "/{media_id}", response_model=None, responses={200: {"model": MediaStatus}, **_ERRORS}, openapi_extra=_EXTRA
)
async def media_status(request: Request, media_id: str) -> Response:
    """Everything about one media, right from the moment its upload was asked for.

    A token with scope `upload` alone may follow what its owner uploads, and gets no URL of the bytes.
    """
    at = services(request)
    claims = bearer(request, "read", "upload")
    found = await find(at, claims, media_id)
    wait_for = waiting(found.fold, found.events.values(), at.takers, complete=not found.gap)
    shown = status(found, claims, at, (taker.name for taker in wait_for))
    shown = shown.model_copy(update={"queue": await at.queues.at(wait_for, shown.lane)})
    return _json(shown.model_dump_json().encode())


@router.get(
    "/{media_id}/events",
    response_model=None,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": (
                "Events as CloudEvents, then `end`. Between them, while a large file is worked on, `progress` frames "
                "without an id: {media_id, function, done, total, eta_seconds?}, at most two a second of each "
                "function; the seconds that are left only where the function says so."
            ),
        },
        204: {"description": "Nothing after Last-Event-ID, and nothing more to come."},
        **_ERRORS,
        **described(HTTPStatus.BAD_REQUEST),
    },
    openapi_extra={
        **_EXTRA,
        "parameters": [
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "Resume after this event; without it, from the first.",
                "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
            }
        ],
    },
)
async def media_events(request: Request, media_id: str) -> Response:
    """What happens to one media, as server-sent events; resumable, and over when the media is.

    It also ends when the token expires, and when the gateway stops: connect again with the last id.
    """
    at = services(request)
    claims = bearer(request, "read", "upload")
    after = last_event_id(request.headers.get("last-event-id"))
    found = await find(at, claims, media_id)
    if not found.live:
        raise unavailable("Events can't be followed: NATS doesn't answer")
    if after is not None and is_over(found, after):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return EventStream(
        follow(at.bus, at.tail, found, after or 0), ending=at.closing, seconds=max(claims.exp - time.time(), 0)
    )


@router.delete(
    "/{media_id}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=None,
    responses={202: {"model": Deletion}, **_ERRORS},
    openapi_extra=_EXTRA,
)
async def delete_media(request: Request, media_id: str) -> Response:
    """Remove everything of a media; only its owner may. Asking twice is asking once."""
    at = services(request)
    claims = bearer(request, "delete")
    found = await find(at, claims, media_id)
    media = Media.model_validate(found.fold.known()["media"])
    if media.owner != claims.owner:
        raise ProblemError(HTTPStatus.FORBIDDEN, "not_owner", "Only the media's owner may delete it.")
    if "deleted" not in found.fold.tombstones:
        event = Deleted(media=media, deleted_by=claims.owner)
        lane = in_order(found)[0]["lane"]
        envelope = begin(event, event_id=derive_id(SOURCE, media_id, event.type()), source=SOURCE, lane=lane)
        subject = Subject(event.event, event.known_kind(), lane, media_id, FIRST_RUN, SOURCE)
        try:
            await at.bus.publish(str(subject), envelope.encode(), message_id=envelope.id, headers=HEADERS)
        except BusError:
            raise unavailable("The deletion could not be put on record: NATS doesn't answer") from None
    return _json(Deletion(media_id=media_id).model_dump_json().encode(), HTTPStatus.ACCEPTED)


def _json(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, "application/json")
