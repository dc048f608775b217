"""Who asks, and what the token lets them do."""

import math
from http import HTTPStatus
from typing import Final

from starlette.requests import HTTPConnection

from gateway.problems import ProblemError
from gateway.services import Services, services
from infra.tokens import Claims, Scope, TokenRefused

SECURITY: Final = [{"bearer": list[str]()}]
_CHALLENGE = {"www-authenticate": "Bearer"}


def bearer(request: HTTPConnection, *scopes: Scope, token: str = "") -> Claims:
    """The claims of the request's token, which must grant one of these scopes.

    Args:
        request: With an `Authorization` header.
        scopes: Of which one is needed.
        token: The token where it came another way.

    Raises:
        ProblemError: 401 without a valid token, 403 without the scope, 429 for too many requests of its owner.
    """
    at = services(request)
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    token = sent.strip() if scheme.lower() == "bearer" else token
    if not token:
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "token_missing",
            "Send a bearer token in the `Authorization` header; `tidegate token` issues them.",
            _CHALLENGE,
        )
    try:
        claims = at.verifier.verify(token)
    except TokenRefused as refusal:
        raise refused(refusal, "get a new one") from None
    if not any(claims.may(scope) for scope in scopes):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "scope_missing",
            f"This needs a token with scope {' or '.join(f'`{scope}`' for scope in scopes)}: ask for one.",
            {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scopes[0]}"'},
        )
    limited(at, claims.owner)
    return claims


def refused(refusal: TokenRefused, remedy: str) -> ProblemError:
    """401 for a token that can't be believed."""
    return ProblemError(
        HTTPStatus.UNAUTHORIZED,
        "token_refused",
        f"{str(refusal).capitalize()}: {remedy}.",
        {"www-authenticate": 'Bearer error="invalid_token"'},
    )


def limited(at: Services, who: str) -> None:
    """Count a request.

    Raises:
        ProblemError: 429 for one too many.
    """
    if wait := at.rates.take(who):
        seconds = math.ceil(wait)
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limited",
            f"You send more than {at.settings.rate_per_second:g} requests a second; nothing was done. Send this one "
            f"again in {seconds} s.",
            {"retry-after": str(seconds)},
        )
