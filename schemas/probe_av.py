"""What probing found in audio and video. Names of codecs, formats and colours are FFmpeg's."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.model import Model

MOST_AUDIO_STREAMS = 6
MOST_SUBTITLE_STREAMS = 6
MOST_CHAPTERS = 6
"""So many are listed, of any number: with them, an event is never larger than 64 KiB."""

Container = Literal["mp4", "mov", "3gp", "webm", "mkv", "avi", "mp3", "m4a", "aac", "flac", "ogg", "wav"]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,20}$")]
Profile = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 .:+()/@-]{1,24}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,12}$")]
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}/[1-9][0-9]{0,9}$")]
"""Frames a second as an exact fraction, such as `30000/1001`; `fractions.Fraction` reads it."""
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=1_000_000)]


class AudioStream(Model):
    """One sound track."""

    index: int = Field(ge=0, le=10_000, description="The stream's number in the file.")
    codec: Word = Field(description="Such as `aac`, `opus`, `mp3`.")
    profile: Profile | None = Field(default=None, description="Such as `LC`.")
    channels: int = Field(ge=1, le=1024)
    layout: Profile | None = Field(default=None, description="Such as `stereo` or `5.1(side)`.")
    sample_rate: int = Field(ge=1, le=100_000_000, description="Samples a second.")
    language: Language | None = Field(default=None, description="Of ISO 639-2, as the file says.")


class SubtitleStream(Model):
    """One track of subtitles."""

    index: int = Field(ge=0, le=10_000, description="The stream's number in the file.")
    codec: Word = Field(description="Such as `mov_text`, `subrip`, `webvtt`.")
    language: Language | None = None


class Chapter(Model):
    """From where to where a chapter lasts."""

    start_seconds: Seconds
    end_seconds: Seconds


class _Timed(Model):
    container: Container
    duration_seconds: Seconds = Field(description="Of the whole file; measured where the file doesn't say.")
    bit_rate: int | None = Field(default=None, ge=0, le=2**53, description="Bits a second of the whole file.")
    audio: Annotated[tuple[AudioStream, ...], Field(max_length=MOST_AUDIO_STREAMS)] = Field(
        default=(),
        description="Sound tracks: first the one that products are made of, then the others in the file's order.",
    )
    audio_streams: int = Field(default=0, ge=0, le=10_000, description="How many there are, listed or not.")
    chapters: Annotated[tuple[Chapter, ...], Field(max_length=MOST_CHAPTERS)] = Field(
        default=(), description="The first chapters."
    )
    chapter_count: int = Field(default=0, ge=0, le=1_000_000, description="How many there are, listed or not.")


class AudioProbe(_Timed):
    """Sound that FFprobe read to its last packet."""

    type: Literal["audio"] = "audio"
    cover: bool = Field(default=False, description="Whether a cover picture is attached.")


class VideoProbe(_Timed):
    """Moving pictures that FFprobe read to their last packet. Of several tracks the default one, or the first."""

    type: Literal["video"] = "video"
    index: int = Field(ge=0, le=10_000, description="The video stream's number in the file.")
    codec: Word = Field(description="Such as `h264`, `hevc`, `vp9`, `av1`.")
    profile: Profile | None = Field(default=None, description="Such as `High` or `Main 10`.")
    width: Side = Field(description="Width in pixels as displayed: pixels made square, rotation applied.")
    height: Side = Field(description="Height in pixels as displayed.")
    coded_width: Side = Field(description="Width in pixels as stored.")
    coded_height: Side = Field(description="Height in pixels as stored.")
    rotation: Literal[0, 90, 180, 270] = Field(
        default=0, description="Degrees clockwise that a player turns the stored picture."
    )
    average_frame_rate: Rate | None = Field(default=None, description="Frames divided by duration.")
    base_frame_rate: Rate | None = Field(
        default=None, description="The lowest rate that all timestamps fit, as FFprobe guesses it."
    )
    variable_frame_rate: bool = Field(
        description="Whether frames are unevenly spaced: by the timestamps at the file's beginning, or by "
        "an average that is more than 1 % off the base rate. False is no promise: whoever cuts looks at timestamps."
    )
    pixel_format: Word | None = Field(default=None, description="Such as `yuv420p10le`.")
    bit_depth: int | None = Field(default=None, ge=1, le=32, description="Bits a channel.")
    color_range: Word | None = Field(default=None, description="`tv` or `pc`.")
    color_space: Word | None = Field(default=None, description="The matrix, such as `bt709`.")
    color_transfer: Word | None = Field(default=None, description="Such as `bt709`, `smpte2084`, `arib-std-b67`.")
    color_primaries: Word | None = Field(default=None, description="Such as `bt709`, `bt2020`.")
    hdr: Literal["none", "hdr10", "hlg", "dolby_vision"] = Field(
        default="none",
        description="`hdr10`: any PQ (SMPTE 2084) picture. `dolby_vision` wins over the base layer's own transfer.",
    )
    interlaced: bool = False
    subtitles: Annotated[tuple[SubtitleStream, ...], Field(max_length=MOST_SUBTITLE_STREAMS)] = Field(
        default=(), description="The first tracks of subtitles."
    )
    subtitle_streams: int = Field(default=0, ge=0, le=10_000, description="How many there are, listed or not.")
