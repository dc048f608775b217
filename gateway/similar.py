"""What looks like a picture, among what its owner uploaded and the caller may see."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import from_json

from gateway.auth import SECURITY, bearer
from gateway.lookup import find
from gateway.problems import described, unavailable
from gateway.query import asked, parameters
from gateway.services import services
from infra.catalog import Resembling
from infra.errors import DependencyDown
from schemas.api import SimilarMedia, SimilarPage, SimilarRequest

router = APIRouter(prefix="/v1/media")


@router.get(
    "/{media_id}/similar",
    response_model=None,
    responses={
        200: {"model": SimilarPage},
        **described(
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={"security": SECURITY, "parameters": parameters(SimilarRequest)},
)
async def similar_media(request: Request, media_id: str) -> Response:
    """The same owner's pictures that look like this one: saved anew, made smaller or brighter, cut a little.

    Found by their perceptual hash (pHash): nearly all that were coded anew, and a part of those that were cut.
    """
    at = services(request)
    claims = bearer(request, "read", "upload")
    wish = asked(request, SimilarRequest)
    fold = (await find(at, claims, media_id)).fold
    perceptual_hash, owner = fold.perceptual_hash(), fold.known()["media"].get("owner")
    if at.documents is None:
        raise unavailable("Nothing can be compared: this gateway has no MongoDB")
    page = SimilarPage(perceptual_hash=perceptual_hash)
    if perceptual_hash is not None:
        wanted = Resembling(claims.readers, owner, media_id, perceptual_hash, wish.different)
        try:
            found = await at.documents.similar(wanted, wish.limit)
        except DependencyDown:
            raise unavailable("Nothing can be compared: MongoDB doesn't answer") from None
        page = SimilarPage(perceptual_hash=perceptual_hash, items=tuple(_item(*each) for each in found))
    return Response(page.model_dump_json(), headers={"cache-control": "no-store"}, media_type="application/json")


def _item(different: int, document: dict[str, Any]) -> SimilarMedia:
    media = from_json(document["media"])
    return SimilarMedia.model_validate(
        {**document, "media_id": document["_id"], "media": media, "different": different}
    )
