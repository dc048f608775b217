"""Every event: one fact about one media. Each carries forward all that is known so far.

An event's name is its class in lower case; its CloudEvents type is `tidegate.media.<name>.v<version>`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints

from schemas.media import Identity, Media, Product, Verdict
from schemas.model import Kind, Model, Name, Sentence, Token, VersionId
from schemas.objects import ObjectRef
from schemas.plan import MOST_CHUNKS, MOST_RUNGS, Chunk, Plan, RungName
from schemas.probe import Probe
from schemas.probe_av import VideoProbe
from schemas.renditions import MOST_RENDITIONS, Description, Rendition, SkipCode, StreamDescription

RejectCode = Literal[
    "foreign",
    "changed",
    "empty",
    "too_large",
    "type_mismatch",
    "type_refused",
    "polyglot",
    "unscannable",
    "encrypted",
    "corrupt",
    "truncated",
    "not_text",
    "too_many_pages",
    "too_many_pixels",
    "too_many_frames",
    "too_many_streams",
    "too_long",
    "bomb",
    "active_content",
    "unsupported_codec",
    "decode_timeout",
    "decode_memory",
    "decode_crash",
]


MOST_PRODUCTS = 32
MOST_NAMED_OBJECTS = 8
LONGEST_NAMED_KEY = 256
"""With these, and a media of 40 KiB (the gateway takes no larger one), an event is never larger than 64 KiB."""

Products = Annotated[tuple[Product, ...], Field(max_length=MOST_PRODUCTS)]


class MediaEvent(Model):
    """What all events share. Deriving from it puts a model into the published schemas."""

    event: ClassVar[str] = ""
    version: ClassVar[int] = 1
    terminal: ClassVar[bool] = False
    """Whether the media needs nothing more after it (until somebody acts)."""
    informs: ClassVar[bool] = False
    """Whether it is said for whoever follows, and asked of no function."""
    transient: ClassVar[bool] = False
    """Whether it matters only until its answer: the stream has it for days, the media's document never."""

    media: Media

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)  # pyright: ignore[reportArgumentType]
        cls.event = cls.__name__.lower()

    @classmethod
    def type(cls) -> str:
        """The CloudEvents type, such as `tidegate.media.scanned.v1`."""
        return f"tidegate.media.{cls.event}.v{cls.version}"

    @classmethod
    def after(cls, event: "MediaEvent", **found: object) -> Self:
        """All that another event knew, and what was found since."""
        return cls.model_validate({**dict(event), **found})

    def about(self) -> str:
        """The media's id: the CloudEvents subject."""
        return self.media.media_id

    def known_kind(self) -> Kind:
        """The kind in the subject: `unknown` until identified."""
        identity: Identity | None = getattr(self, "identity", None)
        return identity.kind if identity else "unknown"

    def part(self) -> str | None:
        """The subject's last token when it isn't the function's name: what tells outputs of one function apart."""
        return None

    def basis(self) -> str | None:
        """What the event's id is computed from when it isn't the input event's id."""
        return None

    def variant(self) -> str:
        """What may differ between two attempts at the same input, and so must differ in the id."""
        return ""


class Requested(MediaEvent):
    """The gateway gave a client a presigned upload."""

    method: Literal["put", "form"]
    expires_at: datetime


class Uploaded(MediaEvent):
    """The first object version under the media's key: from here on this version is the media."""

    object: ObjectRef
    uploaded_at: datetime

    def basis(self) -> str | None:
        """The object version: the same for every copy of its notification."""
        return f"{self.object.bucket}/{self.object.key}/{self.object.version_id}" if type(self) is Uploaded else None


class Overwritten(MediaEvent):
    """A later version under the same key lost to the first; it is discarded."""

    object: ObjectRef
    winner: VersionId = Field(description="Version id of the object that is the media.")

    def part(self) -> str | None:
        """One for each version that lost."""
        return self.object.version_id


class Identified(Uploaded):
    """The magic bytes fit the declared type."""

    identity: Identity


class Scanned(Identified):
    """ClamAV found nothing; the object's SHA-256 is known."""

    verdict: Verdict

    def variant(self) -> str:
        """Another set of signatures is another verdict."""
        return f"{self.verdict.engine}/{self.verdict.signatures}"


class Probed(Scanned):
    """A decoder read the file's structure."""

    probe: Probe


class Promoted(Probed):
    """The scanned version is in permanent/, its checksum verified."""

    original: ObjectRef
    products: Products = ()


class Rejected(MediaEvent):
    """The file can't come in: its fault, with a code from a closed list and a sentence for its owner."""

    terminal: ClassVar[bool] = True

    object: ObjectRef
    function: Token
    code: RejectCode
    reason: Sentence
    identity: Identity | None = None
    verdict: Verdict | None = None

    def variant(self) -> str:
        """Another code is another outcome."""
        return self.code


class Quarantined(MediaEvent):
    """ClamAV found something (or, by policy, could not look inside)."""

    terminal: ClassVar[bool] = True

    object: ObjectRef
    identity: Identity
    verdict: Verdict

    def variant(self) -> str:
        """Another set of signatures, or another finding, is another verdict."""
        return f"{self.verdict.engine}/{self.verdict.signatures}/{self.verdict.signature}"


class Failed(MediaEvent):
    """A function gave up: our fault. The dead letter keeps all that a retry needs."""

    terminal: ClassVar[bool] = True

    function: Token
    products: Annotated[tuple[Token, ...], Field(max_length=MOST_PRODUCTS)] = ()
    required: bool = True
    dead_letter: Token | None = None
    code: Annotated[str, StringConstraints(max_length=64)] = "error"
    error: Sentence
    object: ObjectRef | None = None
    identity: Identity | None = None

    def part(self) -> str | None:
        """The product that is missing: made after all, it takes this one's place."""
        return self.products[0] if self.products else None

    def variant(self) -> str:
        """Each dead letter is a failure of its own."""
        return f"{self.dead_letter}"


class Planned(MediaEvent):
    """How a video is cut and coded, before any of it is."""

    identity: Identity
    original: ObjectRef
    products: Products = ()
    probe: VideoProbe
    plan: Plan

    def variant(self) -> str:
        """Another plan is another outcome."""
        return self.plan.hash


class Cut(Planned):
    """A piece of a video to be encoded: some rungs of one chunk, of one decoding."""

    transient: ClassVar[bool] = True

    number: int = Field(
        ge=0, le=2 * MOST_CHUNKS - 1, description="Of the pieces; what is to be playable first goes first."
    )
    chunk: Chunk
    rungs: Annotated[tuple[RungName, ...], Field(min_length=1, max_length=MOST_RUNGS)]

    def part(self) -> str | None:
        """One for each piece."""
        return f"plan_video-{self.number}"


class Encoded(Planned):
    """A piece of a video was encoded: who packages looks whether it was the last one."""

    transient: ClassVar[bool] = True

    piece: Annotated[str, StringConstraints(pattern=r"^(sound|[0-9]{1,4})$")] = Field(
        description="The number of a `cut`, or `sound`."
    )

    def part(self) -> str | None:
        """One for each piece."""
        return "encode_audio" if self.piece == "sound" else f"encode_chunk-{self.piece}"


class ProductEvent(MediaEvent):
    """What is said of one product of a promoted media."""

    identity: Identity
    product: Token
    required: bool = Field(description="Whether the media is of no use without it.")

    def part(self) -> str | None:
        """One outcome a product."""
        return self.product


class Done(ProductEvent):
    """A product was made: its files are in permanent/."""

    renditions: Annotated[tuple[Rendition, ...], Field(max_length=MOST_RENDITIONS)] = ()
    description: Description | None = None

    def basis(self) -> str | None:
        """A fan-in's id: of the media and its plan, whichever piece came last."""
        fanned_in = isinstance(self.description, StreamDescription) and self.description.plan
        return f"{self.media.media_id}/{fanned_in}" if fanned_in else None


class Skipped(ProductEvent):
    """A product can't be made of this file: its fault, or its nature."""

    code: SkipCode
    reason: Sentence


class Playable(MediaEvent):
    """A video can be played already, in one quality; the others follow."""

    informs: ClassVar[bool] = True

    identity: Identity
    renditions: Annotated[tuple[Rendition, ...], Field(max_length=MOST_RENDITIONS)] = ()

    def basis(self) -> str | None:
        """Said once, whichever piece made it so."""
        return self.media.media_id


class Ready(MediaEvent):
    """Every required product is done and each optional one ended: the media can be used."""

    terminal: ClassVar[bool] = True

    identity: Identity
    original: ObjectRef
    products: Products = ()

    def basis(self) -> str | None:
        """A fan-in's id: of the media and the products promised."""
        return f"{self.media.media_id}/{','.join(product.name for product in self.products)}"


class DiscardedObject(ObjectRef):
    """An object that was deleted."""

    key: Annotated[str, Field(min_length=1, max_length=LONGEST_NAMED_KEY)] = Field(
        description="The object's key, not escaped."
    )


class Discarded(MediaEvent):
    """Objects that nobody needs any more were deleted."""

    informs: ClassVar[bool] = True

    cause: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")] = Field(
        description="The event that made them needless."
    )
    count: int = Field(default=0, ge=0, description="How many objects were deleted.")
    objects: Annotated[tuple[DiscardedObject, ...], Field(max_length=MOST_NAMED_OBJECTS)] = Field(
        default=(), description="The first of them, a stranger's long key left out."
    )
    moved_to: ObjectRef | None = Field(default=None, description="Where a quarantined object is kept.")
    subject_version: VersionId | None = None

    @classmethod
    def of(cls, event: MediaEvent, objects: Sequence[ObjectRef], **found: object) -> Self:
        """Say what an event made needless; of many objects only the first are named."""
        named = [dict(each) for each in objects if len(each.key) <= LONGEST_NAMED_KEY]
        return cls.model_validate(
            {
                "media": event.media,
                "cause": event.event,
                "count": len(objects),
                "objects": named[:MOST_NAMED_OBJECTS],
                **found,
            }
        )

    def part(self) -> str | None:
        """One for each cause, and for each version where a media has several."""
        version = self.subject_version if self.cause == "overwritten" else None
        return f"discard-{version}" if version else f"discard-{self.cause}"


class Abandoned(MediaEvent):
    """The upload was requested and never came."""

    terminal: ClassVar[bool] = True

    def basis(self) -> str | None:
        """A media is abandoned once, whichever sweep says so."""
        return self.media.media_id


class Deleted(MediaEvent):
    """Its owner (or an operator) asked for everything of it to be removed."""

    terminal: ClassVar[bool] = True

    deleted_by: Name


EVENTS: dict[str, type[MediaEvent]] = {
    model.event: model
    for model in (
        Requested,
        Uploaded,
        Overwritten,
        Identified,
        Scanned,
        Probed,
        Promoted,
        Rejected,
        Quarantined,
        Failed,
        Planned,
        Cut,
        Encoded,
        Done,
        Skipped,
        Playable,
        Ready,
        Discarded,
        Abandoned,
        Deleted,
    )
}
TRANSIENT = frozenset(name for name, model in EVENTS.items() if model.transient)
TERMINAL = tuple(name for name, model in EVENTS.items() if model.terminal)
BY_TYPE = {model.type(): model for model in EVENTS.values()}
