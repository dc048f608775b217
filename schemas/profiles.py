"""What each kind promises: a profile of settings, so that a messenger, a gallery and a course platform differ by those.

In the environment each field is a variable, `TIDEGATE_IMAGES__DESCRIPTION=none`; lists and objects are JSON.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from schemas.media import Identity, Product
from schemas.model import Kind
from schemas.probe import Probe
from schemas.probe_av import VideoProbe
from schemas.renditions import PRODUCTS, Quality

Promise = Literal["required", "optional", "none"]
"""`required`: without it the media is `failed`; `optional`: waited for, but `ready` without it; `none`: not made."""

ImageFormat = Literal["webp", "jpeg", "avif"]
SizeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,23}$")]
Percent = Annotated[int, Field(ge=1, le=100)]


class Profile(BaseModel):
    """What one kind promises."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(Profile):
    """One size of a picture."""

    name: SizeName = Field(description="The files' name: `thumb` makes `thumb.webp`.")
    longest: int = Field(ge=16, le=8192, description="The longer side in pixels; a smaller original is not enlarged.")
    square: bool = Field(default=False, description="Cut to a square around what attracts attention.")
    quality: Quality | None = Field(default=None, description="What `?quality=` of the API chooses it by.")

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        """Not the name of another product's files."""
        if name in {"original", "poster", "storyboard", "stream", "progressive"}:
            raise ValueError(f"{name} is another file's name")
        return name


class ImageProfile(Profile):
    """What is made of pictures."""

    sizes: Promise = Field(default="required", description="Product `sizes`: the variants, in each format.")
    description: Promise = Field(
        default="optional", description="Product `description`: placeholder, dominant colour, perceptual hash."
    )
    variants: Annotated[tuple[Variant, ...], Field(min_length=1, max_length=8)] = (
        Variant(name="avatar", longest=150, square=True),
        Variant(name="thumb", longest=300, quality="low"),
        Variant(name="preview", longest=1080, quality="standard"),
        Variant(name="full", longest=2048, quality="high"),
    )
    formats: Annotated[tuple[ImageFormat, ...], Field(min_length=1, max_length=3)] = ("webp", "jpeg")
    webp_quality: Percent = 80
    jpeg_quality: Percent = 80
    avif_quality: Percent = 60
    animation_frames: int = Field(
        default=300,
        ge=1,
        le=1000,
        description="Most frames of an animation; of a longer one every second, third, … is left out, and it lasts as "
        "long. 1: animations stand still.",
    )
    animation_pixels: int = Field(
        default=64_000_000,
        ge=0,
        le=100_000_000,
        description="Most pixels of all frames of an animation together in its largest variant, likewise; each takes "
        "four bytes of memory while it is made.",
    )

    @field_validator("variants")
    @classmethod
    def _differ(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        """Two of one name would be one file."""
        names = [variant.name for variant in variants]
        if len(set(names)) < len(names):
            raise ValueError(f"two variants have the same name: {', '.join(sorted(names))}")
        return variants


class VideoProfile(Profile):
    """What is made of videos."""

    stream: Promise = Field(default="required", description="Product `stream`: HLS and DASH.")
    poster: Promise = Field(default="required", description="Product `poster`: one picture.")
    storyboard: Promise = Field(default="optional", description="Product `storyboard`: sprite and WebVTT.")
    progressive: Promise = Field(default="none", description="Product `progressive`: one MP4 that any browser plays.")


class AudioProfile(Profile):
    """What is made of sounds."""

    sound: Promise = Field(default="optional", description="Product `sound`: one file that any browser plays.")
    waveform: Promise = Field(default="optional", description="Product `waveform`: peaks, as JSON and as a picture.")
    tags: Promise = Field(default="optional", description="Product `tags`: title, artist, …, and the cover picture.")


class DocumentProfile(Profile):
    """What is made of documents."""

    page: Promise = Field(default="optional", description="Product `page`: a PDF's first page as a picture.")
    excerpt: Promise = Field(default="none", description="Product `excerpt`: a PDF's or a text's first words.")


Profiles = dict[Kind, Profile]


def promised(profiles: Profiles, identity: Identity, probe: Probe) -> tuple[Product, ...]:
    """The products that a profile promises for a file, in the order of `schemas.renditions.PRODUCTS`.

    What makes no sense for the file isn't promised: a first page of a text, a storyboard of one picture.
    """
    profile = profiles.get(identity.kind)
    return tuple(
        Product(name=name, required=promise == "required")
        for name in PRODUCTS.get(identity.kind, ())
        if (promise := getattr(profile, name, "none")) != "none" and _makes_sense(name, identity, probe)
    )


def _makes_sense(name: str, identity: Identity, probe: Probe) -> bool:
    match name:
        case "page":
            return identity.content_type == "application/pdf"
        case "excerpt":
            return identity.content_type in {"application/pdf", "text/plain"}
        case "storyboard":
            return isinstance(probe, VideoProbe) and probe.duration_seconds >= 1
        case _:
            return True
