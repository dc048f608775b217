"""What clients send to the gateway and what they get back (the HTTP API, version 1)."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator

from schemas.catalog import MOST_DIFFERENT, MOST_TAGS
from schemas.media import CONTEXT_BYTES, Identity, Verdict
from schemas.model import ContentType, Kind, Lane, MediaId, Name, Sha256, Token
from schemas.probe import Probe
from schemas.products import ProductState
from schemas.renditions import Description, Quality, Rendition

CONTEXT_DEPTH = 16
LARGEST_PAGE = 100
OLD_SIGNATURES = "OLD SIGNATURES: ClamAV's are {days} days old, newer finds are missed: run freshclam on its machine."
SCANNED_WITH_OLD = "OLD SIGNATURES: the file was scanned with ClamAV signatures that were {days} days old."
TEST_SIGNATURES = "TEST SIGNATURES: ClamAV has no real signatures here. It finds test files; `clean` means nothing."
UNMADE = "NOBODY MAKES {product}: no installed function does, so the media waits until one is."
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
# No spaces but one after a semicolon: proxies and signatures disagree about the others.
_MEDIA_TYPE = rf'^{_TOKEN}/{_TOKEN}(; ?{_TOKEN}=({_TOKEN}|"[!#-\[\]-~]*"))*$'
_NO_MEDIA_TYPE = (
    "This is no media type such as `application/pdf`: say what the file is. A browser's `File.type` is empty where it "
    "knows none."
)

_Word = Annotated[str, StringConstraints(max_length=CONTEXT_BYTES)]

State = Literal[
    "pending", "uploaded", "processing", "ready", "rejected", "quarantined", "failed", "abandoned", "deleted"
]


class UploadRequest(BaseModel):
    """A client's wish to upload one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filename: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="The file's name, any characters: shown to people, never part of a path."
    )
    content_type: Annotated[str, StringConstraints(max_length=255)] = Field(
        description="The media type that the upload will declare, such as `application/pdf`.",
        json_schema_extra={"pattern": _MEDIA_TYPE},
    )
    size: int = Field(ge=0, description="The file's size in bytes; the upload must have exactly as many.")
    lane: Lane | None = Field(default=None, description="One of the token's lanes; `standard` if not given.")
    audience: tuple[Name, ...] = Field(
        default=(), max_length=64, description="Which of the token's conversations and groups may see the file as well."
    )
    context: dict[str, JsonValue] = Field(
        default_factory=dict,
        description=f"`conversation_id`, `message_id`, `tags` and more, {CONTEXT_BYTES} bytes at most.",
    )
    form: bool = Field(default=False, description="For an HTML form (a POST policy) instead of a PUT.")

    @field_validator("content_type")
    @classmethod
    def _is_media_type(cls, content_type: str) -> str:
        # Not the field's own pattern: that would be all that its error says.
        if not re.fullmatch(_MEDIA_TYPE, content_type):
            raise ValueError(_NO_MEDIA_TYPE)
        return content_type

    @field_validator("context")
    @classmethod
    def _storable(cls, context: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if len(repr(context)) > CONTEXT_BYTES:
            raise ValueError(f"context is larger than {CONTEXT_BYTES} bytes: keep references in it, not content")
        _check_storable(context, CONTEXT_DEPTH)
        return context


def _check_storable(value: JsonValue, depth: int) -> None:
    """What every JSON reader takes and writes again as it was."""
    match value:
        case dict() | list() if not depth:
            raise ValueError(f"context is nested deeper than {CONTEXT_DEPTH} levels")
        case dict() | list():
            for item in value.values() if isinstance(value, dict) else value:
                _check_storable(item, depth - 1)
        case float() if not isfinite(value):
            raise ValueError("context has a number that JSON can't write: send it as a string")
        case _:
            pass


class UploadPut(BaseModel):
    """PUT the file's bytes to `url` with exactly these headers.

    The object store's answers are XML, and its `Code` says what to do. 412 `PreconditionFailed`: the file is there
    already, and a client that repeats its PUT takes it as success. 403 `AccessDenied`: the time is over, ask again. 403
    `SignatureDoesNotMatch`: type, length or another header is not as announced; send these headers, or ask again for
    what the file really is.
    """

    media_id: MediaId
    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]
    expires_at: datetime


class UploadForm(BaseModel):
    """POST a multipart form to `url`: these fields first, then the file as `file`.

    The object store's answers are XML. 400 `EntityTooLarge` or `EntityTooSmall`: the file has another length than was
    announced. 403 `AccessDenied`: a field was changed, or the time is over (its `Message` says which); ask again.
    """

    media_id: MediaId
    method: Literal["POST"] = "POST"
    url: str
    fields: dict[str, str]
    expires_at: datetime


class DeclaredMedia(BaseModel):
    """What the client said about the file."""

    filename: str
    content_type: ContentType
    size: int
    owner: Name
    audience: tuple[Name, ...] = ()
    context: dict[str, JsonValue] = Field(default_factory=dict)
    requested_at: datetime | None = None


class VerdictView(Verdict):
    """ClamAV's verdict."""

    test_signatures: bool = Field(description="True: the signatures only find test files. Nothing real was looked for.")


class RenditionView(Rendition):
    """One file that was made from the original, and where to get it."""

    product: Token | None = Field(description="Of which product; none: of a video that can be played already.")
    url: str | None = Field(
        default=None, description="Where to get it until `url_expires_at`; none without the scope `read`."
    )
    url_expires_at: datetime | None = None


class Original(BaseModel):
    """The promoted file."""

    size: int
    sha256: Sha256 | None = None
    url: str | None = Field(
        default=None, description="Where to get it until `url_expires_at`; none without the scope `read`."
    )
    url_expires_at: datetime | None = None


class Rejection(BaseModel):
    """Why the file was not let in."""

    code: str
    reason: str
    function: str


class Failure(BaseModel):
    """Which function gave up, our fault; operators retry it."""

    function: str
    error: str
    dead_letter: str | None = None


class Step(BaseModel):
    """One event of the history."""

    time: datetime
    event: str
    function: str
    run: str
    code: str | None = None
    reason: str | None = None


class Queue(BaseModel):
    """How much is before the media at the function it waits for. An upper bound."""

    function: str
    position: int = Field(ge=0, description="Events that wait or are worked on at this function, this one included.")
    eta_seconds: float | None = Field(
        default=None, description="Until they are done, at the speed of the last minute; none: nobody saw it work."
    )


class MediaStatus(BaseModel):
    """Everything about one media: where it is, what happened so far, and what it waits for."""

    media_id: MediaId
    state: State
    lane: str
    media: DeclaredMedia
    identity: Identity | None = None
    verdict: VerdictView | None = None
    probe: Probe | None = None
    original: Original | None = None
    products: tuple[ProductState, ...] = Field(default=(), description="What the kind's profile promises, and how far.")
    renditions: tuple[RenditionView, ...] = ()
    descriptions: dict[str, Description] = Field(
        default_factory=dict, description="By product: placeholder and colours, loudness, tags, a text's beginning."
    )
    playable: bool = Field(
        default=False, description="A video: players may begin, with whatever qualities there are so far."
    )
    hls: str | None = Field(default=None, description="For players of HLS (RFC 8216); needs no token.")
    dash: str | None = Field(default=None, description="For players of MPEG-DASH; needs no token.")
    file: str | None = Field(
        default=None, description="The file of a quality: with `&quality=low|standard|high|original`; needs no token."
    )
    links_expire_at: datetime | None = Field(
        default=None, description="When `hls`, `dash` and `file` are over: ask again for new ones."
    )
    rejection: Rejection | None = None
    failures: tuple[Failure, ...] = ()
    history: tuple[Step, ...] = ()
    waits_for: tuple[str, ...] = Field(
        default=(),
        description="Who has the next say: functions, or `client` while no upload was announced. Empty: nobody.",
    )
    queue: Queue | None = None
    warnings: tuple[str, ...] = Field(default=(), description="What a person should know: test signatures, gaps.")


class ListRequest(BaseModel):
    """The query of `GET /v1/media`. Every filter narrows what the token lets its bearer see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Name | None = Field(default=None, description="Uploaded by this owner.")
    audience: Name | None = Field(default=None, description="Shared with this conversation or group.")
    conversation: _Word | None = Field(default=None, description="With this `conversation_id` in its context.")
    message: _Word | None = Field(default=None, description="With this `message_id` in its context.")
    tag: _Word | None = Field(
        default=None, description=f"With this among the first {MOST_TAGS} `tags` of its context; text or a number."
    )
    kind: Kind | None = Field(default=None, description="Of this kind; `unknown` until identified.")
    state: State | None = Field(default=None, description="In this state.")
    since: AwareDatetime | None = Field(
        default=None,
        alias="from",
        description="Requested at this time or later (RFC 3339, to the millisecond; write `+` as `%2B`).",
    )
    until: AwareDatetime | None = Field(default=None, alias="to", description="Requested before this time.")
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = Field(default=50, description="At most so many items.")
    cursor: str | None = Field(
        default=None,
        description="`next` of the page before. It is a place, not a right: filters and token still hold.",
    )

    @field_validator("cursor")
    @classmethod
    def _is_place(cls, cursor: str | None) -> str | None:
        if cursor is not None and not re.fullmatch(r"[A-Za-z0-9_-]{22}", cursor):
            raise ValueError("this is no page's `next`: begin without a cursor")
        return cursor

    @property
    def before(self) -> str | None:
        """The media after which the page begins."""
        return str(UUID(bytes=urlsafe_b64decode(f"{self.cursor}=="))) if self.cursor else None


def cursor_after(media_id: str) -> str:
    """The cursor that goes on after a media."""
    return urlsafe_b64encode(UUID(media_id).bytes).decode().rstrip("=")


class EventsRequest(BaseModel):
    """The query of `GET /v1/events`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: tuple[Token, ...] = Field(
        default=(), max_length=32, description="Only events of this name, or `progress`; may be repeated."
    )
    kind: tuple[Kind, ...] = Field(default=(), max_length=8, description="Only of this kind; may be repeated.")
    last_event_id: str | None = Field(
        default=None, description="The same as the header `Last-Event-ID`, for clients that can't send one."
    )


class PlayRequest(BaseModel):
    """The query of playlists. What players add is none of ours."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    grant: str | None = Field(default=None, description="Instead of a token: as the status's addresses have it.")


class FileRequest(PlayRequest):
    """The query of `GET /v1/media/{media_id}/files/{name}`."""

    redirect: bool = Field(default=True, description="False: send the file from here, whatever the installation does.")


class QualityRequest(FileRequest):
    """The query of `GET /v1/media/{media_id}/file`."""

    quality: Literal[Quality, "original"] = Field(default="standard", description="Which of the files.")


class MediaSummary(BaseModel):
    """One media in a listing. Everything else about it, URLs included, is at `/v1/media/{media_id}`."""

    media_id: MediaId
    state: State
    kind: Kind
    content_type: ContentType | None = Field(default=None, description="What the file was found to be.")
    code: str | None = Field(default=None, description="Why it was rejected.")
    media: DeclaredMedia
    updated_at: datetime | None = None


class SimilarRequest(BaseModel):
    """The query of `GET /v1/media/{media_id}/similar`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    different: Annotated[int, Field(ge=0, le=MOST_DIFFERENT)] = Field(
        default=MOST_DIFFERENT, description="In how many of 64 bits the pictures' hashes may differ; 0: the closest."
    )
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = Field(default=20, description="At most so many items.")


class SimilarMedia(MediaSummary):
    """A picture that looks like another one."""

    different: int = Field(ge=0, le=64, description="In how many of 64 bits their hashes differ.")


class SimilarPage(BaseModel):
    """The same owner's pictures that look alike, the nearest first, as it was about a second ago."""

    perceptual_hash: str | None = Field(
        description="How this one looks; null: nobody said so far, or it is no picture."
    )
    items: tuple[SimilarMedia, ...] = ()


class MediaPage(BaseModel):
    """What the caller may see, newest first, as it was about a second ago.

    A page has fewer items than `limit` where they would be more than a megabyte. New media never move what later pages
    have.
    """

    items: tuple[MediaSummary, ...]
    next: str | None = Field(description="The `cursor` of the next page; none: this is the last.")


class Deletion(BaseModel):
    """The deletion is on record; the objects go shortly after."""

    media_id: MediaId
    state: Literal["deleted"] = "deleted"


class Dependency(BaseModel):
    """One server as the gateway sees it."""

    up: bool
    detail: str = ""


class Readiness(BaseModel):
    """Whether uploads can be taken, and who is missing if not."""

    ready: bool
    dependencies: dict[str, Dependency]
    warnings: tuple[str, ...] = ()


class Problem(BaseModel):
    """An error (RFC 9457, problem details)."""

    type: str = Field(description="`urn:tidegate:problem:<code>`.")
    title: str
    status: int
    detail: str = Field(description="What happened and what to do about it.")
    errors: tuple[dict[str, Any], ...] | None = Field(
        default=None, description="Where a request's body is wrong: `field` and `message`."
    )


def field_errors(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Pydantic's errors as `Problem.errors`: where and what, without repeating what was sent."""
    return [
        {
            "field": ".".join(str(step) for step in cast("tuple[object, ...]", error["loc"])) or "body",
            "message": str(error["msg"]).removeprefix("Value error, "),
        }
        for error in errors[:20]
    ]
