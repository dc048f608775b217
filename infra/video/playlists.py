"""HLS playlists over the segments that FFmpeg wrote (RFC 8216), and what those that it wrote say of them.

FFmpeg's own name the time at which they were made, so that they would differ each time, and an average where a player
needs the highest rate: whoever has less bandwidth than a segment needs would stall in it.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from infra.ffmpeg.written import written
from schemas.plan import Plan, Rung

MASTER: Final = "master.m3u8"
MANIFEST: Final = "manifest.mpd"
_ENTRY: Final = re.compile(
    r"#EXTINF:([0-9]{1,6}(?:\.[0-9]{1,9})?),\n(?:#EXT-X-PROGRAM-DATE-TIME:[^\n]*\n)?([^\n#]{1,64})\n"
)
_CODECS: Final = re.compile(r'CODECS="([A-Za-z0-9.]{1,32}(?:,[A-Za-z0-9.]{1,32})?)"')
_FRAME_RATE: Final = re.compile(r' frameRate="[0-9/]{1,40}"')
_WHOLE: Final = re.compile(r'mediaPresentationDuration="PT[0-9HMS.]{1,40}"')
_LONGEST: Final = re.compile(r'maxSegmentDuration="PT[0-9.]{1,40}S"')
_DENOMINATOR: Final = 1001  # as television's rates have
_MOST_BYTES: Final = 8 * 1024 * 1024


class Misread(Exception):
    """What FFmpeg wrote isn't what it writes: our fault."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of one track."""

    name: str
    seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class Track:
    """What one media playlist lists.

    Attributes:
        mark: The plan's.
        number: FFmpeg's number of the representation.
        rung: The size of its pictures; none: it is the sound.
        segments: In order.
    """

    mark: str
    number: int
    rung: Rung | None
    segments: tuple[Segment, ...]

    @property
    def init(self) -> str:
        """The file that every segment needs."""
        return f"init-{self.mark}-{self.number}.mp4"

    @property
    def playlist(self) -> str:
        """Its media playlist."""
        return f"media_{self.number}.m3u8"

    @property
    def files(self) -> tuple[str, ...]:
        """What its playlist names."""
        return (self.init, *(segment.name for segment in self.segments))

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return math.fsum(segment.seconds for segment in self.segments)

    @property
    def average(self) -> int:
        """Bits a second."""
        return _rate(sum(segment.size for segment in self.segments), self.seconds)

    @property
    def peak(self) -> int:
        """The highest bits a second of segments in a row, half to one and a half times as long as the longest.

        That is what BANDWIDTH is (RFC 8216, 4.1): a last segment of a moment counts with the one before it.
        """
        longest = max(segment.seconds for segment in self.segments)
        found = self.average
        for first in range(len(self.segments)):
            size, seconds = 0, 0.0
            for last in range(first, len(self.segments)):
                size, seconds = size + self.segments[last].size, seconds + self.segments[last].seconds
                if seconds > 1.5 * longest:
                    break
                if seconds >= longest / 2:
                    found = max(found, _rate(size, seconds))
        return found


def read_track(folder: Path, plan: Plan, number: int, rung: Rung | None) -> Track:
    """What FFmpeg's playlist says, and how large the files are that it names.

    Raises:
        Misread: It names files that aren't there.
    """
    text = read(folder, f"media_{number}.m3u8")
    found = _ENTRY.findall(text)
    if not found or len(found) != text.count("#EXTINF"):
        raise Misread(f"media_{number}.m3u8 lists {len(found)} segments")
    if f'#EXT-X-MAP:URI="init-{plan.mark}-{number}.mp4"' not in text:
        raise Misread(f"media_{number}.m3u8 does not begin with init-{plan.mark}-{number}.mp4")
    segments: list[Segment] = []
    for place, (seconds, name) in enumerate(found, 1):
        path = written(folder, name) if name == f"seg-{plan.mark}-{number}-{place:05d}.m4s" else None
        if path is None:
            raise Misread(f"media_{number}.m3u8 names {name!r}, which is not there")
        segments.append(Segment(name, float(seconds), path.stat().st_size))
    return Track(plan.mark, number, rung, tuple(segments))


def media_playlist(track: Track) -> str:
    """The playlist of one track."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        # Rounded, as the lengths themselves are to be for this comparison (RFC 8216, 4.3.3.1).
        f"#EXT-X-TARGETDURATION:{max(1, *(int(segment.seconds + 0.5) for segment in track.segments))}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{track.init}"',
    ]
    for segment in track.segments:
        lines += [f"#EXTINF:{segment.seconds:.6f},", segment.name]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def master_playlist(plan: Plan, tracks: list[Track], codecs: dict[int, str]) -> str:
    """The playlist of all tracks. The first one is what a player begins with."""
    sound = next((track for track in tracks if track.rung is None), None)
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    if sound is not None:
        entry = f'TYPE=AUDIO,GROUP-ID="sound",NAME="sound",DEFAULT=YES,AUTOSELECT=YES,URI="{sound.playlist}"'
        lines.append(f"#EXT-X-MEDIA:{entry}")
    for track in tracks:
        if track.rung is None:
            continue
        beside = (sound.peak, sound.average) if sound else (0, 0)
        said = [
            f"BANDWIDTH={track.peak + beside[0]}",
            f"AVERAGE-BANDWIDTH={track.average + beside[1]}",
            f"RESOLUTION={track.rung.width}x{track.rung.height}",
            f'CODECS="{codecs[track.number]}"',
            f"FRAME-RATE={plan.frames / plan.seconds:.3f}",
            *(['AUDIO="sound"'] if sound else []),
        ]
        lines += [f"#EXT-X-STREAM-INF:{','.join(said)}", track.playlist]
    return "\n".join([*lines, ""])


def read_codecs(folder: Path, tracks: list[Track]) -> dict[int, str]:
    """RFC 6381's name of what each rung needs, as FFmpeg found it.

    Raises:
        Misread: It names none for a rung.
    """
    text = read(folder, MASTER)
    found: dict[int, str] = {}
    for line, name in zip(text.split("\n"), text.split("\n")[1:], strict=False):
        for track in tracks:
            if name == track.playlist and line.startswith("#EXT-X-STREAM-INF:") and (said := _CODECS.search(line)):
                found[track.number] = said[1]
    if lacking := [track.playlist for track in tracks if track.rung is not None and track.number not in found]:
        raise Misread(f"{MASTER} says nothing of {', '.join(lacking)}")
    return found


def corrected(plan: Plan, tracks: list[Track], manifest: str) -> str:
    """A manifest that says how many frames a second there are, how long it lasts, and how long the longest segment is.

    FFmpeg takes the last frames of the first piece, whose lengths a piece alone doesn't know, for none; and says how
    long segments are to be, where a picture that is shown for longer makes one longer. The whole it rounds to tenths:
    where that is less than there is, dash.js leaves out what is beyond, or jumps back from the end and stays there.
    """
    rate = Fraction(plan.frames * plan.timescale, plan.duration).limit_denominator(_DENOMINATOR)
    longest = max(segment.seconds for track in tracks for segment in track.segments)
    manifest = _FRAME_RATE.sub(f' frameRate="{rate.numerator}/{rate.denominator}"', manifest)
    tenths = math.floor(10 * max(track.seconds for track in tracks)) + 1
    manifest = _WHOLE.sub(f'mediaPresentationDuration="PT{tenths // 10}.{tenths % 10}S"', manifest)
    return _LONGEST.sub(f'maxSegmentDuration="PT{longest:.6f}S"', manifest)


def read(folder: Path, name: str) -> str:
    """What FFmpeg wrote.

    Raises:
        Misread: It isn't there, or too large.
    """
    path = written(folder, name)
    if path is None or path.stat().st_size > _MOST_BYTES:
        raise Misread(f"{name} is not there, or too large")
    return path.read_text(errors="replace")


def _rate(size: int, seconds: float) -> int:
    return math.ceil(8 * size / seconds) if seconds > 0 else 0
