"""Who may read a media's files: who has a token with scope `read` and may see it, or a grant for just this media.

A player or an `<img>` can't send a header, so what they are given has a grant in its query. What is logged is the
route, never the query; a grant goes into no error and no referrer either.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request

from gateway.auth import bearer, limited, refused
from gateway.lookup import Found, find, look, unknown
from gateway.problems import ProblemError
from gateway.services import services
from infra.tokens import TokenRefused
from schemas.document import TOMBSTONES

SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"grant": []}]
SCHEME: Final[dict[str, Any]] = {
    "type": "apiKey",
    "in": "query",
    "name": "grant",
    "description": "Leave to read one media, part of the addresses in `GET /v1/media/{media_id}`; expires.",
}


@dataclass(frozen=True, slots=True)
class Leave:
    """Somebody may read a media.

    Attributes:
        found: The media.
        grant: By which grant; empty: by a token.
        owner: Whose token it was; empty: a grant.
        expires: When the grant is over, in Unix seconds; 0: a token.
    """

    found: Found
    grant: str = ""
    owner: str = ""
    expires: int = 0


async def leave(request: Request, media_id: str) -> Leave:
    """See that a media's files may be read by who asks, and that they still are.

    Raises:
        ProblemError: 401 without a good token or grant, 403 for a token without scope `read`, 404 for what isn't there
            or is not theirs, 410 for what was deleted or condemned, 429.
    """
    at = services(request)
    names = ("requested", "promoted", "playable", "done", *TOMBSTONES)
    if (sent := request.query_params.get("grant")) is None:
        claims = bearer(request, "read")
        given = Leave(await find(at, claims, media_id, *names), owner=claims.owner)
    else:
        try:
            grant = at.grants.check(sent)
        except TokenRefused as refusal:
            raise refused(refusal, "ask GET /v1/media/{media_id} for a new one") from None
        # Not counted with what the owner does: a link that many follow must not keep him out.
        limited(at, f"grant {grant.by}")
        if grant.media != media_id:
            raise unknown()
        given = Leave(await look(at, media_id, *names), sent, expires=grant.exp)
    if given.found.fold.tombstones:
        raise ProblemError(
            HTTPStatus.GONE,
            "media_gone",
            "The media was deleted or taken out of circulation, and its files with it.",
        )
    return given
