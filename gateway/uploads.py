"""The way in: a client says what it will upload and gets a presigned URL. The file itself never comes here."""

import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from uuid_utils import uuid7

from events.bus import BusDown, BusError
from events.envelope import HEADERS, begin, child_span, derive_id
from gateway.auth import SECURITY, bearer
from gateway.problems import ProblemError, described, invalid, unavailable
from gateway.services import Services, services
from infra.tokens import Claims
from schemas.api import UploadForm, UploadPut, UploadRequest
from schemas.events import Requested
from schemas.media import Media
from schemas.model import Lane
from schemas.subjects import FIRST_RUN, Subject, temp_key

SOURCE: Final = "gateway"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Later events carry the same media beside what the functions found; an event has 64 KiB at most.
LARGEST_REQUESTED: Final = 40 * 1024
# https://www.w3.org/TR/trace-context/#traceparent-header, version 00; anything else begins a new trace.
_TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class DirectRoute(APIRoute):
    """Gives its endpoint the request and nothing else: FastAPI's resolution of arguments costs more than the upload."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        return self.endpoint


router = APIRouter(route_class=DirectRoute)


@router.post(
    "/v1/uploads",
    status_code=HTTPStatus.CREATED,
    response_model=None,
    responses={
        HTTPStatus.CREATED: {"model": UploadPut | UploadForm, "description": "Upload the file there."},
        **described(
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={
        "security": SECURITY,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/UploadRequest"}}},
        },
    },
)
async def create_upload(request: Request) -> Response:
    """Ask for a presigned upload of one file.

    The answer comes once the request is on record, so whatever arrives at the URL is known. Ask again for each file;
    what isn't uploaded in time is `abandoned`.
    """
    at = services(request)
    claims = bearer(request, "upload")
    try:
        # From the bytes: pydantic's own parser refuses lone surrogates, which no UTF-8 document can carry.
        wish = UploadRequest.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid(error) from None
    lane = _granted(wish, claims, at)
    ticket = await _open(at, wish, claims, lane, request.headers.get("traceparent"))
    return Response(
        ticket.__pydantic_serializer__.to_json(ticket),
        HTTPStatus.CREATED,
        {"location": f"/v1/media/{ticket.media_id}", "cache-control": "no-store"},
        "application/json",
    )


def _granted(wish: UploadRequest, claims: Claims, at: Services) -> Lane:
    largest = at.settings.max_upload_bytes
    if wish.size > largest:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"The file has {wish.size} bytes and {largest} are the most that is taken: make it smaller or split it.",
            limit=largest,
        )
    if foreign := set(wish.audience).difference(claims.audiences):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "audience_not_granted",
            f"The token doesn't belong to {len(foreign)} of the audiences: leave them out or ask for another token.",
        )
    if wish.lane is None:
        return "standard" if "standard" in claims.lanes else claims.lanes[0]
    if wish.lane not in claims.lanes:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "lane_not_granted",
            f"The token grants the lanes {', '.join(claims.lanes)}: use one of them or ask for another token.",
        )
    return wish.lane


async def _open(
    at: Services, wish: UploadRequest, claims: Claims, lane: Lane, trace: str | None
) -> UploadPut | UploadForm:
    now, expires = datetime.now(UTC), at.settings.upload_expires_seconds
    # Listings find a time by the id: both must name the same millisecond.
    media_id = str(uuid7(nanoseconds=(now - _EPOCH) // timedelta(microseconds=1) * 1000))
    key = temp_key(media_id)
    if wish.form:
        form = at.uploads.post_policy(
            key, content_type=wish.content_type, least=wish.size, most=wish.size, expires=expires, now=now
        )
        ticket = UploadForm(media_id=media_id, url=form.url, fields=form.fields, expires_at=form.expires_at)
    else:
        put = at.uploads.presign_put(key, content_type=wish.content_type, size=wish.size, expires=expires, now=now)
        ticket = UploadPut(media_id=media_id, url=put.url, headers=put.headers, expires_at=put.expires_at)
    media = Media(
        media_id=media_id,
        owner=claims.owner,
        audience=wish.audience,
        filename=wish.filename,
        content_type=wish.content_type,
        size=wish.size,
        context=wish.context,
        requested_at=now,
    )
    requested = Requested(media=media, method="form" if wish.form else "put", expires_at=ticket.expires_at)
    await _announce(at, requested, lane, trace)
    return ticket


async def _announce(at: Services, event: Requested, lane: Lane, trace: str | None) -> None:
    media_id, owner, now = event.about(), event.media.owner or "", event.media.requested_at or datetime.now(UTC)
    event_id = derive_id(SOURCE, media_id, event.type())
    span = child_span(trace, event_id) if trace and _TRACE.fullmatch(trace) else None
    envelope = begin(event, event_id=event_id, source=SOURCE, lane=lane, traceparent=span)
    payload = envelope.encode()
    if len(payload) > LARGEST_REQUESTED:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            f"File name, audience and context together have more than {LARGEST_REQUESTED} bytes: shorten them.",
        )
    subject = Subject(event.event, event.known_kind(), lane, media_id, FIRST_RUN, SOURCE)
    counted = await at.quota.take(owner, event.media.size, now)
    try:
        await at.bus.publish(str(subject), payload, message_id=envelope.id, headers=HEADERS)
    except BusError as error:
        if counted:
            await at.quota.give_back(owner, event.media.size, now)
        if isinstance(error, BusDown):
            raise unavailable("The upload could not be put on record: NATS doesn't answer") from None
        raise unavailable(f"The upload could not be put on record: {type(error).__name__}") from error
