"""Bearer tokens: JSON Web Tokens signed with HS256 (RFC 7519), issued to clients and verified by the gateway."""

import time
from collections.abc import Sequence
from typing import Annotated, Final, Literal, cast, get_args

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.catalog import audience_word, owner_word
from schemas.model import Lane, Name

Scope = Literal["upload", "read", "delete"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ALGORITHM: Final = "HS256"
SHORTEST_SECRET: Final = 32
# Clocks of one data centre; a token that is over is over.
LEEWAY_SECONDS: Final = 5
LONGEST_TOKEN: Final = 8 * 1024
_REMEMBERED: Final = 4096


class TokenRefused(Exception):
    """The token can't be believed; the message says why, and never repeats the token."""


class Claims(BaseModel):
    """What a token says about its bearer. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sub: Name = Field(description="The owner of what is uploaded with the token.")
    exp: int
    scope: Annotated[str, Field(max_length=255)] = ""
    lanes: tuple[Lane, ...] = Field(default=("standard",), min_length=1)
    audiences: tuple[Name, ...] = Field(default=(), max_length=1024)

    @property
    def owner(self) -> str:
        """The subject under the name that events use."""
        return self.sub

    @property
    def readers(self) -> tuple[str, ...]:
        """As whom the bearer sees media, in the words of `schemas.catalog`: others' media only with scope `read`."""
        shared = self.audiences if self.may("read") else ()
        return (owner_word(self.owner), *(audience_word(name) for name in dict.fromkeys(shared)))

    def may(self, scope: Scope) -> bool:
        """Whether the token grants a scope."""
        return scope in self.scope.split()


def issue(
    secret: str,
    *,
    owner: str,
    scopes: Sequence[Scope] = ("upload", "read"),
    lanes: Sequence[Lane] = ("standard",),
    audiences: Sequence[str] = (),
    seconds: float = 3600,
) -> str:
    """Sign a token.

    Args:
        secret: The secret that the gateway verifies with, `jwt_secret`.
        owner: Whose uploads they are.
        scopes: What the bearer may do.
        lanes: Which lanes the bearer may choose; the first is used where an upload names none and `standard` isn't in.
        audiences: Conversations and groups the bearer belongs to.
        seconds: How long the token is valid.

    Raises:
        ValueError: The secret is too short, or the gateway would not accept these claims.
    """
    now = int(time.time())
    claims = Claims(
        sub=owner, exp=now + int(seconds), scope=" ".join(scopes), lanes=tuple(lanes), audiences=tuple(audiences)
    )
    if unknown := set(scopes) - set(SCOPES):
        raise ValueError(f"there is no scope {', '.join(sorted(unknown))}: there are {', '.join(SCOPES)}")
    payload = {**claims.model_dump(mode="json"), "iat": now}
    return jwt.encode(payload, checked_secret(secret), ALGORITHM)  # pyright: ignore[reportUnknownMemberType] - as below


class Verifier:
    """Verifies tokens, and remembers the last few thousand that it believed: most requests repeat one."""

    def __init__(self, secret: str) -> None:
        self._secret = checked_secret(secret)
        self._known: dict[str, Claims] = {}

    def verify(self, token: str) -> Claims:
        """Check signature, algorithm and times, and read the claims.

        Raises:
            TokenRefused: One of them is wrong or missing.
        """
        claims = self._known.get(token)
        if claims is None:
            claims = self._decode(token)
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[token] = claims
        elif claims.exp + LEEWAY_SECONDS <= time.time():
            del self._known[token]
            raise TokenRefused("the token has expired")
        return claims

    def _decode(self, token: str) -> Claims:
        if len(token) > LONGEST_TOKEN:
            raise TokenRefused(f"the token is longer than {LONGEST_TOKEN} characters")
        try:
            payload = cast(
                "dict[str, object]",
                jwt.decode(  # pyright: ignore[reportUnknownMemberType] - its options are a bare dict
                    token,
                    self._secret,
                    algorithms=[ALGORITHM],
                    leeway=LEEWAY_SECONDS,
                    # When it was made is no condition (RFC 7519, section 4.1.6): its machine's clock may be ahead.
                    options={
                        "require": ["exp", "sub"],
                        "verify_aud": False,
                        "verify_iat": False,
                        "enforce_minimum_key_length": True,
                    },
                ),
            )
            return Claims.model_validate(payload)
        except jwt.ExpiredSignatureError:
            raise TokenRefused("the token has expired") from None
        except jwt.PyJWTError as error:
            raise TokenRefused(f"the token is not valid: {type(error).__name__.removesuffix('Error')}") from None
        except ValidationError as error:
            names = sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False)})
            raise TokenRefused(f"the token's claims are not valid: {', '.join(names)}") from None


def checked_secret(secret: str) -> str:
    """The secret, if it is long enough for HS256 (RFC 7518, section 3.2).

    Raises:
        ValueError: It isn't.
    """
    if len(secret.encode()) < SHORTEST_SECRET:
        raise ValueError(
            f"TIDEGATE_JWT_SECRET must have {SHORTEST_SECRET} bytes or more; `tidegate env --role gateway` prints the "
            "running stack's, `openssl rand -base64 48` makes one"
        )
    return secret
