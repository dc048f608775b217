"""What a caller may see, page by page, as `record` last wrote it down."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic_core import from_json

from gateway.auth import SECURITY, bearer
from gateway.problems import described, unavailable
from gateway.query import asked, parameters
from gateway.services import services
from infra.catalog import Wanted
from infra.errors import DependencyDown
from infra.tokens import Claims
from schemas.api import ListRequest, MediaPage, MediaSummary, cursor_after
from schemas.catalog import audience_word, owner_word, word

LARGEST_BYTES: Final = 1024 * 1024

router = APIRouter(prefix="/v1/media")


@router.get(
    "",
    response_model=None,
    responses={
        200: {"model": MediaPage},
        **described(
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={"security": SECURITY, "parameters": parameters(ListRequest)},
)
async def list_media(request: Request) -> Response:
    """What the caller owns or shares an audience with, newest first; a token with scope `upload` alone sees its own.

    Filters are joined by "and". For what happened in the last second ask `/v1/media/{media_id}`.
    """
    at = services(request)
    claims = bearer(request, "read", "upload")
    wish = asked(request, ListRequest)
    if at.documents is None:
        raise unavailable("Nothing can be listed: this gateway has no MongoDB")
    try:
        found = await at.documents.page(wanted(wish, claims), wish.limit + 1)
    except DependencyDown:
        raise unavailable("Nothing can be listed: MongoDB doesn't answer") from None
    page = _page(found, wish.limit)
    return Response(page.model_dump_json(), headers={"cache-control": "no-store"}, media_type="application/json")


def wanted(wish: ListRequest, claims: Claims) -> Wanted:
    """What a caller is shown of what is asked for."""
    seers, me = claims.readers, owner_word(claims.owner)
    if wish.audience is not None and audience_word(wish.audience) in seers:
        seers = (audience_word(wish.audience),)
    elif wish.audience is not None or wish.owner == claims.owner:
        # What is shared with a conversation that the caller has left is seen by its owner alone.
        seers = (me,)
    return Wanted(
        readers=seers,
        owner=wish.owner,
        audience=wish.audience,
        conversation=word(wish.conversation),
        message=word(wish.message),
        tag=word(wish.tag),
        kind=wish.kind,
        state=wish.state,
        since=wish.since,
        until=wish.until,
        before=wish.before,
    )


def _page(found: Sequence[dict[str, Any]], limit: int) -> MediaPage:
    items: list[MediaSummary] = []
    size = 0
    for document in found[:limit]:
        size += len(document["media"].encode())
        if items and size > LARGEST_BYTES:
            break
        items.append(
            MediaSummary.model_validate(
                {**document, "media_id": document["_id"], "media": from_json(document["media"])}
            )
        )
    more = len(items) < len(found)
    return MediaPage(items=tuple(items), next=cursor_after(items[-1].media_id) if more else None)
