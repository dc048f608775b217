"""When each frame of a video is shown: read from its packets, or, where those can't be believed, by decoding it.

FFprobe reads a file's packets at hundreds of megabytes a second, and a packet is a frame in what cameras, phones and
browsers write. It isn't in every file: VP8 has packets that show nothing, AVI knows no times, a file that was cut
without being encoded anew begins with frames that can't be decoded, an interlaced picture may be two packets.
"""

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, Limits
from infra.ffmpeg.complaints import refuse
from infra.ffmpeg.confined import INPUT
from infra.ffmpeg.sources import listed
from schemas.probe_av import VideoProbe

MOST_FRAMES: Final = 16_000_000
"""Twelve hours of 370 frames a second; each takes 8 bytes while a plan is made."""
SURE: Final = frozenset({"h264", "hevc", "vp9", "av1", "mpeg4", "prores", "dnxhd", "mjpeg", "h263", "png", "rawvideo"})
"""Codecs of which every packet with a time is one frame."""
LEAST_BYTES: Final = 8
"""Of a packet that holds a picture: what is smaller says that a sequence ends, or that nothing changed; but of VP9 and
AV1 it says which picture is shown."""
_SHOWS_BY_NUMBER: Final = frozenset({"vp9", "av1"})
# Slowest machine that a video is read and decoded on.
_BYTES_PER_SECOND: Final = 5 * 1024 * 1024
_PIXELS_PER_SECOND: Final = 10_000_000
_LEAST_SECONDS: Final = 60.0
_WALL_TO_CPU: Final = 3
_PACKET, _FRAME = "packet", "frame"


@dataclass(slots=True)
class Timeline:
    """The frames of one video track, and how long a sound track lasts.

    Attributes:
        time_base: Seconds a tick.
        frames: The ticks at which frames are shown, in order.
        keys: Those of frames that decoding can begin with, in order.
        last: How many ticks the last frame is shown.
        sound_end: When the sound ends, in seconds; none: there is no sound.
        sound_frame: Its longest packet, in seconds.
    """

    time_base: Fraction
    frames: "array[int]" = field(default_factory=lambda: array("q"))
    keys: "array[int]" = field(default_factory=lambda: array("q"))
    last: int = 0
    sound_end: float | None = None
    sound_frame: float = 0.0


async def read_timeline(
    ffmpeg: Ffmpeg, file: Path, content_type: str, probe: VideoProbe, sound: int | None
) -> Timeline:
    """Read when each frame is shown.

    Args:
        ffmpeg: Runs FFprobe.
        file: The original.
        content_type: What it was identified as.
        probe: What probing found.
        sound: The sound track's number in the file.

    Raises:
        DecodeRejected: It can't be read, has no frames, or its clock goes back; `too_many_frames`.
    """
    reading = _Reading(probe.index, sound, 0 if probe.codec in _SHOWS_BY_NUMBER else LEAST_BYTES)
    await _ffprobe(ffmpeg, file, content_type, reading, ["-show_entries", _PACKETS])
    timeline = reading.timeline()
    if not reading.believable or probe.codec not in SURE or probe.interlaced:
        decoded = _Reading(probe.index, None)
        entries = ["-select_streams", str(probe.index), "-show_entries", _FRAMES]
        work = probe.coded_width * probe.coded_height * max(reading.packets, 1)
        await _ffprobe(ffmpeg, file, content_type, decoded, entries, work)
        if decoded.goes_back:
            raise DecodeRejected("corrupt", "the times of its pictures go back")
        if decoded.undated_first > 1:  # one is taken to be shown at 0, by FFmpeg as well
            raise DecodeRejected("corrupt", "its first pictures have no times, or some before zero")
        timeline.frames = decoded.timeline().frames
    if not timeline.frames:
        raise DecodeRejected("corrupt", "not one of its pictures can be decoded")
    return timeline


_PACKETS: Final = "packet=stream_index,pts,dts,duration,size,flags:stream=index,time_base"
_FRAMES: Final = "frame=stream_index,best_effort_timestamp:stream=index,time_base"


async def _ffprobe(
    ffmpeg: Ffmpeg, file: Path, content_type: str, reading: "_Reading", entries: list[str], work: int = 0
) -> None:
    settings = ffmpeg.settings
    cpu = _LEAST_SECONDS + file.stat().st_size / _BYTES_PER_SECOND + work / _PIXELS_PER_SECOND  # noqa: ASYNC240  a stat
    memory = settings.encoder_memory_bytes if work else settings.decoder_memory_bytes
    ran = await ffmpeg.run(
        "ffprobe",
        ["-v", "error", *listed(settings, content_type, memory), *entries, "-of", "compact", INPUT],
        file,
        Limits(memory, int(cpu) + 1, _WALL_TO_CPU * cpu),
        on_line=reading.take,
        background=True,
    )
    if not ran.good:
        raise refuse(ran)


class _Reading:
    """FFprobe's lines, as they come."""

    def __init__(self, video: int, sound: int | None, least_bytes: int = 0) -> None:
        self._video, self._sound, self._least_bytes = str(video), str(sound), least_bytes
        self._frames, self._keys = array("q"), array("q")
        self._last = (0, 0)
        self._time_bases: dict[str, Fraction] = {}
        self._sound_end, self._sound_longest = 0, 0
        self._heard: int | None = None
        self._undated = self._undecodable = self._empty = self.goes_back = False
        self._before: int | None = None
        self.packets = 0
        self.undated_first = 0

    @property
    def believable(self) -> bool:
        """Whether each packet has a time and a picture, and is decoded after the one before it; the first can be."""
        return not (self._undated or self._undecodable or self._empty or self.goes_back)

    async def take(self, line: str) -> None:
        """One line."""
        section, _, rest = line.partition("|")
        fields = dict(part.split("=", 1) for part in rest.split("|") if "=" in part)
        index = fields.get("stream_index", fields.get("index", ""))
        if section == "stream" and "time_base" in fields:
            self._time_bases[index] = Fraction(fields["time_base"])
        elif section == _PACKET and index == self._video:
            self._follows(_ticks(fields.get("dts")))
            self._empty |= (_ticks(fields.get("size")) or 0) < self._least_bytes
            self._packet(_ticks(fields.get("pts")), _ticks(fields.get("duration")) or 0, fields.get("flags", ""))
        elif section == _PACKET and index == self._sound and (at := _ticks(fields.get("pts"))) is not None:
            # In what Chromium records as MP4 no packet says how long it lasts: then about as long as the one before it.
            lasting = _ticks(fields.get("duration")) or max(0, at - (at if self._heard is None else self._heard))
            self._heard = at
            self._sound_end = max(self._sound_end, at + lasting)
            self._sound_longest = max(self._sound_longest, lasting)
        elif section == _FRAME:
            self._decoded(_ticks(fields.get("best_effort_timestamp")))

    def _packet(self, at: int | None, lasting: int, flags: str) -> None:
        self.packets += 1
        if at is None:
            self._undated = True
            return
        if "K" in flags:
            self._keys.append(at)
        if "D" in flags:  # decoded for those that follow it and never shown, as an edit list says
            return
        if not self._keys or at < self._keys[0]:
            self._undecodable = True
        self._last = max(self._last, (at, lasting))
        self._add(at)

    def _decoded(self, at: int | None) -> None:
        """One that is undated, as the last ones of an AVI are, follows like the one before it."""
        known = self._frames[-2:]
        self.undated_first += at is None and len(self._frames) == self.undated_first
        if at is None and known:
            at = known[-1] + (max(1, known[1] - known[0]) if len(known) > 1 else 1)
        self._follows(at)
        self._add(at or 0)

    def _follows(self, at: int | None) -> None:
        """As what follows is decoded: two recordings in one file may each begin at 0."""
        if at is None:
            return
        if self._before is not None and at < self._before:
            self.goes_back = True
        self._before = at

    def _add(self, at: int) -> None:
        if len(self._frames) == MOST_FRAMES:
            raise DecodeRejected("too_many_frames", f"more than {MOST_FRAMES:,} pictures")
        self._frames.append(at)

    def timeline(self) -> Timeline:
        """All that was read."""
        time_base = self._time_bases.get(self._video)
        if time_base is None or time_base <= 0:
            raise DecodeRejected("corrupt", "its pictures have no times")
        sound_base = self._time_bases.get(self._sound)
        return Timeline(
            time_base,
            array("q", sorted(self._frames)),
            array("q", sorted(self._keys)),
            self._last[1],
            float(self._sound_end * sound_base) if sound_base and self._sound_longest else None,
            float(self._sound_longest * sound_base) if sound_base else 0.0,
        )


def _ticks(value: str | None) -> int | None:
    digits = (value or "").removeprefix("-")
    return int(value or "") if digits.isdecimal() and len(digits) < 19 else None  # noqa: PLR2004  of 64 bits
