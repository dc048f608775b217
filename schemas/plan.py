"""How a video is cut and coded: what `plan_video` decides once, and all who encode and package go by.

Times are whole numbers of ticks. A source's are of its own time base; those of what is made of it are of `timescale`,
which the source's time base divides wherever that is reasonable, so that nothing is rounded.
"""

import re
from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.model import Model, PlanHash, Sha256
from schemas.probe_av import Rate
from schemas.renditions import Quality

MOST_RUNGS = 8
MOST_CHUNKS = 720
"""Of 60 s, in the twelve hours that a video may have."""
MOST_KEYFRAMES = 128
"""Segments of one chunk, of a second at least."""
_MARK_LENGTH = 8
_MARKED = re.compile(rf"[a-z]+-([0-9a-f]{{{_MARK_LENGTH}}})-")

Ticks = Annotated[int, Field(ge=-(2**62), le=2**62)]
RungName = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{1,3}p$")]
BitRate = Annotated[int, Field(ge=1_000, le=1_000_000_000)]
Preset = Annotated[str, StringConstraints(pattern=r"^[a-z]{4,9}$")]
Lufs = Annotated[float, Field(ge=-70, le=-5, allow_inf_nan=False)]


class Rung(Model):
    """One size of a video."""

    name: RungName = Field(description="Such as `720p`: the box it fits into, not its exact height.")
    width: int = Field(ge=2, le=16_384, description="Even.")
    height: int = Field(ge=2, le=16_384, description="Even.")
    bit_rate: BitRate = Field(description="Bits a second that its pictures take at most (or on average).")
    quality: Quality | None = Field(default=None, description="How it compares with the video's other rungs.")

    @property
    def pixels(self) -> int:
        """Of one frame."""
        return self.width * self.height


class Coding(Model):
    """How pictures and sound are coded; the profile's word when the plan was made."""

    preset: Preset = Field(description="x264's: how much time is spent on a smaller file.")
    crf: int | None = Field(default=None, ge=0, le=51, description="Constant quality below the bit rate; none: at it.")
    b_frames: bool = Field(
        default=True,
        description="Whether pictures may be decoded in another order than they are shown: not where one is shown for "
        "long, or players would take it for another that is.",
    )
    audio_bit_rate: BitRate
    loudness_lufs: Lufs | None = Field(default=None, description="What sound is brought to; none: as it is.")


class Sound(Model):
    """The one sound track that is taken, on the video's clock."""

    index: int = Field(ge=0, le=10_000, description="The stream's number in the file.")
    seconds: float = Field(ge=0, le=1e9, allow_inf_nan=False, description="From the first frame to the sound's end.")
    frame_seconds: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="Its longest packet.")


class Plan(Model):
    """What is made of one video."""

    hash: PlanHash = Field(description="Of the original, the profile and how plans are made: names its work.")
    rungs: Annotated[tuple[Rung, ...], Field(min_length=1, max_length=MOST_RUNGS)] = Field(
        description="The one that is to be playable first, then the others, smallest first."
    )
    time_base: Rate = Field(description="Seconds that one tick of the source lasts.")
    timescale: int = Field(ge=1, le=1_000_000, description="Ticks a second of what is made.")
    first: Ticks = Field(description="The source's tick at which its first frame is shown: everything's zero.")
    frames: int = Field(ge=1, le=2**53)
    duration: Ticks = Field(description="From the first frame to the last one's end, in `timescale`.")
    timeline: Sha256 = Field(description="Of all frames' times in `timescale`, as decimal lines.")
    chunks: int = Field(ge=1, le=MOST_CHUNKS)
    segment_seconds: float = Field(ge=1, le=60, allow_inf_nan=False)
    coding: Coding
    sound: Sound | None = None

    def rung(self, name: str) -> Rung:
        """One by its name."""
        return next(rung for rung in self.rungs if rung.name == name)

    @property
    def mark(self) -> str:
        """What the names of its segments have in them: see `mark`."""
        return mark(self.hash)

    @property
    def seconds(self) -> float:
        """How long its pictures last."""
        return self.duration / self.timescale


class Chunk(Model):
    """Successive frames that are encoded in one go."""

    number: int = Field(ge=0, le=MOST_CHUNKS - 1)
    start: Ticks = Field(description="The source's tick of its first frame.")
    end: Ticks | None = Field(default=None, description="That of the next chunk's first frame; none: it is the last.")
    seek: Ticks | None = Field(default=None, description="That of a key frame to decode from; none: the beginning.")
    frames: int = Field(ge=1, le=2**53)
    offset: Ticks = Field(description="When its first frame is shown, in the plan's `timescale`.")
    keyframes: Annotated[tuple[Ticks, ...], Field(min_length=1, max_length=MOST_KEYFRAMES)] = Field(
        description="When its segments begin, in `timescale` from its first frame."
    )


class Table(Model):
    """Where a plan's chunks begin, for whoever joins them: an object beside them, for an event has no room for 720."""

    offsets: tuple[int, ...] = Field(description="In `timescale`, from the video's first frame.")
    frames: tuple[int, ...]


def work_key(media_id: str, plan: str, name: str) -> str:
    """Where a plan's pieces lie until they are packaged."""
    return f"work/{media_id}/{plan}/{name}"


TABLE = "plan.json"
SOUND = "sound.mp4"
SOUND_FACTS = "sound.json"


def mark(plan: str) -> str:
    """What the names of a plan's segments have in them: who plays one stream gets no pieces of the next one."""
    return plan[:_MARK_LENGTH]


def marked(name: str) -> str | None:
    """The mark in a file's name; none: it belongs to no plan alone."""
    found = _MARKED.match(name)
    return found[1] if found else None


def piece(chunk: int, rung: str) -> str:
    """The name of one rung of one chunk."""
    return f"chunk-{chunk:04d}-{rung}.mp4"


class Lost(Model):
    """What a chunk's pieces lack: an object beside them, where anything is lacking."""

    frames: int = Field(ge=1, le=2**53, description="Announced by the original, and nobody can decode them.")


def lost(chunk: int) -> str:
    """The name of what says that frames of a chunk are lost."""
    return f"chunk-{chunk:04d}-lost.json"
