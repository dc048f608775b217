"""How far a function is: said while it works, on core NATS, never stored."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.model import Model, Token

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
RenditionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,32}$")]


class Progress(Model):
    """What one function, or one of several pieces that it works on, has done of one media."""

    media_id: Token
    function: Token
    done: int = Field(ge=0, le=2**53, description="Bytes, frames or pages so far.")
    total: int = Field(ge=0, le=2**53, description="Of how many.")
    part: Token | None = Field(default=None, description="Which piece, where a function works on several at once.")
    product: Token | None = Field(default=None, description="What it is for.")
    renditions: Annotated[dict[RenditionName, Fraction], Field(max_length=32)] | None = Field(
        default=None, description="How much of each rendition is made, by whichever machine, as far as this one knows."
    )
    overall: Fraction | None = Field(default=None, description="How much of the product is made, in all.")
    eta_seconds: float | None = Field(
        default=None,
        ge=0,
        le=1e9,
        allow_inf_nan=False,
        description="How long the rest of it would take this machine alone; none until it measured how fast it is.",
    )
