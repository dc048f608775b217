"""What each kind promises: a profile of settings, so that a messenger, a gallery and a course platform differ by those.

In the environment each field is a variable, `TIDEGATE_IMAGES__DESCRIPTION=none`; lists and objects are JSON.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from schemas.media import Identity, Product
from schemas.model import Kind
from schemas.plan import MOST_KEYFRAMES, MOST_RUNGS, BitRate, Lufs, RungName
from schemas.probe import Probe
from schemas.probe_av import VideoProbe
from schemas.renditions import MOST_RENDITIONS, PRODUCTS, Quality

Promise = Literal["required", "optional", "none"]
"""`required`: without it the media is `failed`; `optional`: waited for, but `ready` without it; `none`: not made."""

ImageFormat = Literal["webp", "jpeg", "avif"]
SoundFormat = Literal["aac", "opus", "webm"]
"""AAC in an M4A, Opus in Ogg, Opus in WebM."""
PageFormat = Literal["webp", "jpeg"]
VideoPreset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
SizeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,23}$")]
Percent = Annotated[int, Field(ge=1, le=100)]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}([0-9a-f]{2})?$")]
"""Red, green and blue, and how opaque: `#3b82f6`, `#3b82f680`."""
SoundBitRate = Annotated[int, Field(ge=8_000, le=512_000)]


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


class RungProfile(Profile):
    """One size of a stream."""

    name: RungName = Field(description="Such as `720p`.")
    longer: int = Field(ge=16, le=16_384, description="The longer side of the box that it fits into, in pixels.")
    shorter: int = Field(ge=16, le=16_384, description="The shorter one; a portrait's box stands upright.")
    bit_rate: BitRate = Field(description="Bits a second that its pictures take at most; on average without `crf`.")


class VideoProfile(Profile):
    """What is made of videos."""

    stream: Promise = Field(default="required", description="Product `stream`: HLS and DASH.")
    poster: Promise = Field(default="required", description="Product `poster`: one picture.")
    storyboard: Promise = Field(default="optional", description="Product `storyboard`: sprite and WebVTT.")
    progressive: Promise = Field(default="none", description="Product `progressive`: one MP4 that any browser plays.")
    rungs: Annotated[tuple[RungProfile, ...], Field(min_length=1, max_length=MOST_RUNGS)] = Field(
        default=(
            RungProfile(name="240p", longer=426, shorter=240, bit_rate=800_000),
            RungProfile(name="360p", longer=640, shorter=360, bit_rate=1_400_000),
            RungProfile(name="480p", longer=854, shorter=480, bit_rate=1_500_000),
            RungProfile(name="720p", longer=1280, shorter=720, bit_rate=2_800_000),
            RungProfile(name="1080p", longer=1920, shorter=1080, bit_rate=5_000_000),
        ),
        description="The stream's sizes, smallest first. None is larger than the video; the smallest is always made.",
    )
    playable: RungName = Field(
        default="360p", description="The rung that is made first, for `playable`; without it the smallest."
    )
    preset: VideoPreset = Field(default="veryfast", description="x264's: time spent on a smaller file.")
    crf: Annotated[int, Field(ge=0, le=51)] | None = Field(
        default=23,
        description="x264's constant quality, capped by the bit rates: 18 can't be told from the original, 28 is poor. "
        "None: the bit rates are averages.",
    )
    segment_seconds: float = Field(
        default=6.0,
        ge=1,
        le=60,
        description="How long a segment lasts: what a player fetches, and where it may switch.",
    )
    chunk_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="How long a piece of a long video lasts that one machine encodes, and encodes again if it dies.",
    )
    audio_bit_rate: BitRate = Field(default=128_000, description="Of AAC, in mono or stereo.")
    loudness_lufs: Lufs | None = Field(
        default=None,
        description="Integrated loudness (EBU R128) that a video's sound is brought to, such as -16 or -23; none: it "
        "stays as loud as it is.",
    )
    poster_longest: int = Field(
        default=1280, ge=16, le=8192, description="The poster's longer side in pixels; a smaller video is not enlarged."
    )
    poster_jpeg_quality: Percent = Field(default=85, description="Of the poster as a JPEG.")
    poster_webp_quality: Percent = Field(default=80, description="Of the poster as a WebP.")
    storyboard_tiles: int = Field(default=100, ge=1, le=1000, description="Most pictures of a storyboard.")
    storyboard_seconds: float = Field(
        default=2.0, ge=0.1, le=3600, description="Shortest time between two of them; a long video's are further apart."
    )
    storyboard_width: int = Field(
        default=160, ge=16, le=640, description="Width of each in pixels; a portrait's are at most twice as high."
    )
    storyboard_columns: int = Field(default=10, ge=1, le=20, description="Pictures side by side on a sheet.")
    storyboard_rows: int = Field(default=10, ge=1, le=20, description="Rows of a sheet; what is left goes on another.")
    storyboard_quality: Percent = Field(default=75, description="Of the sheets, which are JPEGs.")
    progressive_longer: int = Field(
        default=1280, ge=16, le=16_384, description="The longer side of the box that the MP4 fits into, in pixels."
    )
    progressive_shorter: int = Field(
        default=720, ge=16, le=16_384, description="The shorter one; a portrait's box stands upright."
    )
    progressive_crf: Annotated[int, Field(ge=0, le=51)] = Field(
        default=23, description="x264's constant quality for the MP4: 18 can't be told from the original, 28 is poor."
    )
    progressive_bit_rate: BitRate = Field(
        default=2_800_000, description="Bits a second that its pictures take at most."
    )
    progressive_preset: VideoPreset = Field(default="veryfast", description="x264's: time spent on a smaller file.")
    progressive_audio_bit_rate: BitRate = Field(default=128_000, description="Of its AAC, in mono or stereo.")

    @model_validator(mode="after")
    def _sheets_can_be_listed(self) -> Self:
        """A product has so many files at most, the WebVTT among them."""
        sheets = -(-self.storyboard_tiles // (self.storyboard_columns * self.storyboard_rows))
        if sheets >= MOST_RENDITIONS:
            raise ValueError(
                f"{self.storyboard_tiles} tiles make {sheets} sheets of {self.storyboard_columns} x "
                f"{self.storyboard_rows}, at most {MOST_RENDITIONS - 1} are possible: take fewer tiles or larger sheets"
            )
        return self

    @model_validator(mode="after")
    def _can_be_cut(self) -> Self:
        """Rungs must differ in their names, rise in size, and a chunk's segments must fit into an event."""
        names = [rung.name for rung in self.rungs]
        if len(set(names)) < len(names):
            raise ValueError(f"two rungs have the same name: {', '.join(names)}")
        sizes = [rung.longer * rung.shorter for rung in self.rungs]
        if sizes != sorted(sizes):
            raise ValueError(f"rungs come smallest first: {', '.join(names)}")
        # The last chunk may be half as long again.
        if 1.5 * self.chunk_seconds / self.segment_seconds + 1 > MOST_KEYFRAMES:
            raise ValueError(
                f"a chunk of {self.chunk_seconds:g} s has too many segments of {self.segment_seconds:g} s: at most "
                f"{MOST_KEYFRAMES // 2}"
            )
        return self


class AudioProfile(Profile):
    """What is made of sounds."""

    sound: Promise = Field(default="optional", description="Product `sound`: one file that any browser plays.")
    waveform: Promise = Field(default="optional", description="Product `waveform`: peaks, as JSON and as a picture.")
    tags: Promise = Field(default="optional", description="Product `tags`: title, artist, …, and the cover picture.")
    formats: Annotated[tuple[SoundFormat, ...], Field(min_length=1, max_length=3)] = Field(
        default=("aac",),
        description="What `sound` is coded in: `aac` makes `sound.m4a`, which every browser and phone plays; `opus` "
        "`sound.opus` and `webm` `sound.webm`, smaller for speech, and not played by older Apple devices.",
    )
    channels: Literal[1, 2] = Field(default=2, description="Most channels of `sound`: what has more is mixed down.")
    aac_bit_rate: SoundBitRate = Field(default=128_000, description="Bits a second of two channels; one takes half.")
    opus_bit_rate: SoundBitRate = Field(default=96_000, description="Bits a second of two channels; one takes half.")
    loudness_lufs: Annotated[float, Field(ge=-40, le=-5)] | None = Field(
        default=None,
        description="Bring `sound` to this loudness, such as -16 for phones or -23 for broadcasts (EBU R128). None: "
        "its loudness is measured and said, and left as it was recorded.",
    )
    true_peak_dbtp: Annotated[float, Field(ge=-9, le=0)] = Field(
        default=-1.0, description="Where loudness is changed: no peak above this; what would be is limited."
    )
    waveform_samples_per_pixel: Annotated[int, Field(ge=16, le=1_000_000)] = Field(
        default=256, description="Samples of the original a pair of peaks stands for, in a short sound."
    )
    waveform_most_pixels: Annotated[int, Field(ge=64, le=65_536)] = Field(
        default=4096,
        description="Most pairs of peaks a channel, however long the sound: longer ones get more samples a pair.",
    )
    waveform_channels: Literal["mixed", "separate"] = Field(
        default="mixed", description="One row of peaks, of all channels mixed; or one a channel, two at most."
    )
    waveform_picture: Literal["webp", "png", "none"] = Field(
        default="webp", description="What `waveform.webp` or `waveform.png` is, or that there is none."
    )
    waveform_width: Annotated[int, Field(ge=16, le=4096)] = Field(
        default=1000, description="Of the picture, in pixels."
    )
    waveform_height: Annotated[int, Field(ge=16, le=1024)] = Field(
        default=160, description="Of the picture, in pixels."
    )
    waveform_color: Color = Field(default="#3b82f6", description="Of the waveform.")
    waveform_background: Color = Field(default="#00000000", description="Behind it; by default nothing.")
    cover_longest: Annotated[int, Field(ge=16, le=4096)] = Field(
        default=600, description="The cover's longer side in pixels; a smaller one is not enlarged."
    )
    cover_quality: Percent = Field(default=80, description="Of `cover.webp` and `cover.jpg`.")

    @field_validator("formats")
    @classmethod
    def _differ(cls, formats: tuple[SoundFormat, ...]) -> tuple[SoundFormat, ...]:
        """Two of one name would be one file."""
        return tuple(dict.fromkeys(formats))


class DocumentProfile(Profile):
    """What is made of documents."""

    page: Promise = Field(default="optional", description="Product `page`: a PDF's first page as a picture.")
    excerpt: Promise = Field(default="none", description="Product `excerpt`: a PDF's or a text's first words.")
    page_formats: Annotated[tuple[PageFormat, ...], Field(min_length=1, max_length=2)] = Field(
        default=("webp", "jpeg"), description="What `page` is coded in: `page.webp`, `page.jpg`."
    )
    page_longest: Annotated[int, Field(ge=16, le=4096)] = Field(
        default=1080, description="The page's longer side in pixels."
    )
    page_dpi: Annotated[int, Field(ge=18, le=600)] = Field(
        default=150, description="Dots an inch at most: a page of the size of a stamp makes a small picture."
    )
    page_quality: Percent = Field(default=80, description="Of `page.webp` and `page.jpg`.")
    excerpt_characters: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=300, description="Length of `excerpt` at most."
    )

    @field_validator("page_formats")
    @classmethod
    def _differ(cls, formats: tuple[PageFormat, ...]) -> tuple[PageFormat, ...]:
        """Two of one name would be one file."""
        return tuple(dict.fromkeys(formats))


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
