"""What is known of a media, piece by piece, as the functions find it out."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, field_validator

from schemas.model import ContentType, Kind, Label, MediaId, Model, Name, Sha256, Token

CONTEXT_BYTES = 8 * 1024


class Media(Model):
    """What the gateway knew when the upload was requested: a client's word, bounded, never trusted."""

    media_id: MediaId
    owner: Name | None = Field(default=None, description="Who uploads; none: nobody requested it (foreign).")
    audience: tuple[Name, ...] = Field(
        default=(), max_length=64, description="Conversations and groups that may see it."
    )
    filename: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="The client's name for the file: data, never part of a path."
    )
    content_type: ContentType = Field(description="The declared type.")
    size: int = Field(ge=0, description="The declared size in bytes.")
    context: dict[str, JsonValue] = Field(
        default_factory=dict, description="conversation_id, message_id, tags and more."
    )
    requested_at: datetime | None = None

    @field_validator("context")
    @classmethod
    def _bounded(cls, context: dict[str, JsonValue]) -> dict[str, JsonValue]:
        # repr is no smaller than the JSON of the same value for all but escapes; an event must stay under 64 KiB.
        if len(repr(context)) > CONTEXT_BYTES:
            raise ValueError(f"context is larger than {CONTEXT_BYTES} bytes: keep references in it, not content")
        return context


class Identity(Model):
    """What the first bytes say the file is."""

    kind: Kind
    content_type: ContentType
    extension: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,8}$")]


class Verdict(Model):
    """What ClamAV said, and which ClamAV said it."""

    status: Literal["clean", "infected", "unscannable"]
    signature: Label | None = Field(default=None, description="What was found.")
    engine: Label = Field(description="ClamAV's version.")
    signatures: Label = Field(description="Version of the signature databases; says so if they are test signatures.")
    signatures_at: datetime | None = Field(
        default=None, description="The day those databases were made; none where ClamAV does not say."
    )
    bytes_scanned: int = Field(ge=0)
    sha256: Sha256 | None = Field(
        default=None, description="Of the bytes that were scanned; none where clamd would not take them all."
    )


class Product(Model):
    """A rendition or description that the kind's profile promises."""

    name: Token
    required: bool
