"""What is made of a promoted original: renditions, and descriptions of it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.model import Model, PlanHash, Sha256, Token

MOST_RENDITIONS = 24
"""Of one product: with them, an event is never larger than 64 KiB."""

_WORD = "[a-z0-9][a-z0-9_-]{0,31}"
_EXTENSION = r"\.[a-z0-9]{1,8}"
FileName = Annotated[str, StringConstraints(pattern=rf"^{_WORD}(/{_WORD})?{_EXTENSION}$")]
"""A rendition's name below `permanent/<media_id>/`: a file, or a file in one folder (`stream/master.m3u8`)."""

RenditionType = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,16}/[a-z0-9.+-]{1,48}$")]
"""What Tidegate makes has plain types, so that an event has room for as many as there may be."""

Quality = Literal["low", "standard", "high"]
Side = Annotated[int, Field(ge=1, le=1_000_000)]
Measure = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]


class Rendition(Model):
    """One file that was made from the original."""

    name: FileName = Field(description="Below `permanent/<media_id>/`; computed from the product alone.")
    content_type: RenditionType
    size: int = Field(ge=0, le=2**53, description="Bytes; of a playlist, without what it lists.")
    sha256: Sha256 | None = Field(default=None, description="Of the bytes; none for a playlist.")
    width: Side | None = Field(default=None, description="Width in pixels as displayed.")
    height: Side | None = Field(default=None, description="Height in pixels as displayed.")
    duration_seconds: float | None = Field(default=None, ge=0, le=1e9, allow_inf_nan=False)
    bit_rate: int | None = Field(default=None, ge=0, le=2**53, description="Bits a second, on average.")
    frames: int | None = Field(default=None, ge=1, le=2**53, description="Pictures, where there are several.")
    quality: Quality | None = Field(default=None, description="What `?quality=` of the API chooses it by.")


class ImageDescription(Model):
    """What a picture looks like, in a few bytes."""

    type: Literal["image"] = "image"
    thumbhash: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{4,60}={0,2}$")] = Field(
        description="A blurred placeholder with its aspect ratio and transparency (https://evanw.github.io/thumbhash/)."
    )
    color: Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")] = Field(description="The dominant colour.")
    perceptual_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="64 bits, of which few differ between pictures that look alike."
    )


class Loudness(Model):
    """EBU R128, measured over the whole sound (https://tech.ebu.ch/docs/r/r128.pdf)."""

    integrated_lufs: Measure = Field(description="Integrated loudness in LUFS.")
    range_lu: Measure | None = Field(
        default=None,
        description="Loudness range in LU; none for less than a minute, of which it says nothing (EBU Tech 3342).",
    )
    true_peak_dbtp: Measure = Field(description="Highest true peak in dBTP.")


class StreamDescription(Model):
    """What was packaged for players: HLS and DASH over the same segments."""

    type: Literal["stream"] = "stream"
    duration_seconds: float = Field(ge=0, le=1e9, allow_inf_nan=False)
    frames: int = Field(ge=1, le=2**53, description="On each rung: as many as can be decoded of the original.")
    lost_frames: int = Field(
        default=0, ge=0, le=2**53, description="Of the original, damaged: the one before each is shown for longer."
    )
    segments: int = Field(ge=1, le=2**31, description="On each rung.")
    loudness: Loudness | None = Field(default=None, description="Of the original's sound.")
    plan: PlanHash | None = Field(default=None, description="How it was cut and coded: the hash that `planned` names.")
    replaced: PlanHash | None = Field(
        default=None, description="The plan of the stream whose place it took, which may still be played somewhere."
    )


class SoundDescription(Model):
    """What a sound is like."""

    type: Literal["sound"] = "sound"
    loudness: Loudness | None = Field(
        default=None,
        description="Of the sound as it was recorded, mixed down to what the rendition has, one channel taken for what "
        "two loudspeakers play; none for silence and for what is too short to have any.",
    )
    normalized: bool = Field(default=False, description="Whether the rendition was brought to the profile's loudness.")


class TagsDescription(Model):
    """What a sound file says of itself: a stranger's words, bounded, without control characters."""

    type: Literal["tags"] = "tags"
    title: Annotated[str, StringConstraints(max_length=256)] | None = None
    artist: Annotated[str, StringConstraints(max_length=256)] | None = None
    album: Annotated[str, StringConstraints(max_length=256)] | None = None
    album_artist: Annotated[str, StringConstraints(max_length=256)] | None = None
    track: Annotated[str, StringConstraints(max_length=16)] | None = None
    date: Annotated[str, StringConstraints(max_length=32)] | None = None
    genre: Annotated[str, StringConstraints(max_length=64)] | None = None


class PageDescription(Model):
    """What a document is like to turn over."""

    type: Literal["page"] = "page"
    pages: int = Field(ge=1, le=1_000_000, description="Number of pages.")


class TextDescription(Model):
    """How a document begins."""

    type: Literal["text"] = "text"
    excerpt: Annotated[str, StringConstraints(max_length=1000)] = Field(
        description="Its first words, a stranger's, without control characters."
    )


Description = Annotated[
    ImageDescription | StreamDescription | SoundDescription | TagsDescription | PageDescription | TextDescription,
    Field(discriminator="type"),
]
"""What a product says beside its files."""

SkipCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]


def rendition_key(media_id: str, name: str) -> str:
    """Where a rendition lives."""
    return f"permanent/{media_id}/{name}"


PRODUCTS: dict[str, tuple[Token, ...]] = {
    "image": ("sizes", "description"),
    "video": ("stream", "poster", "storyboard", "progressive"),
    "audio": ("sound", "waveform", "tags"),
    "document": ("page", "excerpt"),
}
"""What can be made of each kind."""
