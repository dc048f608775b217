"""Grants: leave to read one media for a while, in a URL, for players and browsers that can't send a token.

A grant is a JSON Web Token (RFC 7519) signed as bearer tokens are, and can't pass for one: it has no subject, and is
made for another audience.
"""

import hashlib
import time
from typing import Annotated, Final, Literal, cast

import jwt
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from infra.tokens import ALGORITHM, LEEWAY_SECONDS, TokenRefused, checked_secret
from schemas.model import MediaId

AUDIENCE: Final = "tidegate/grant"
LONGEST_GRANT: Final = 512


class Grant(BaseModel):
    """What a grant says. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    media: MediaId = Field(description="The one media that may be read.")
    by: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="Of the owner whose token it was given for a digest, by which requests are counted; no name, since "
        "anybody can read what a token says."
    )
    exp: int
    scope: Annotated[Literal["read"], Field(description="What may be done.")] = "read"


class Grants:
    """Gives and checks grants with the secret of the bearer tokens."""

    def __init__(self, secret: str) -> None:
        self._secret = checked_secret(secret)

    def give(self, media_id: str, owner: str, expires: int) -> str:
        """A grant. Equal arguments give equal grants, so that browsers know a URL again.

        Args:
            media_id: For which media.
            owner: The owner of the token that it is given for.
            expires: When it is over, in Unix seconds.
        """
        by = hashlib.sha256(owner.encode()).hexdigest()[:16]
        grant = Grant(media=media_id, by=by, exp=expires)
        payload = {**grant.model_dump(), "aud": AUDIENCE}
        return jwt.encode(payload, self._secret, ALGORITHM)  # pyright: ignore[reportUnknownMemberType] - as below

    def check(self, grant: str) -> Grant:
        """Read a grant.

        Raises:
            TokenRefused: It is none, or over.
        """
        if len(grant) > LONGEST_GRANT:
            raise TokenRefused("the link is longer than any that was given")
        try:
            payload = cast(
                "dict[str, object]",
                jwt.decode(  # pyright: ignore[reportUnknownMemberType] - its options are a bare dict
                    grant,
                    self._secret,
                    algorithms=[ALGORITHM],
                    leeway=LEEWAY_SECONDS,
                    audience=AUDIENCE,
                    options={"require": ["exp", "aud"], "enforce_minimum_key_length": True},
                ),
            )
            return Grant.model_validate(payload)
        except jwt.ExpiredSignatureError:
            raise TokenRefused("the link has expired") from None
        except (jwt.PyJWTError, ValidationError):
            raise TokenRefused("the link is not valid") from None


def over_in(grant: Grant) -> float:
    """Seconds until a grant is over."""
    return grant.exp - time.time()
