"""A sound's peaks: the lowest and the highest sample of each stretch, found by FFmpeg at the sound's own rate.

FFmpeg cuts the decoded sound into stretches (`asetnsamples`), finds the extremes of each (`astats`) and prints them:
0.17 s of CPU time for three minutes of stereo, beside decoding. So no sample ever reaches Python, and memory holds as
many pairs as were asked for, however long the sound.

Format: audiowaveform's, version 2, https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md.
"""

import math
import re
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infra.ffmpeg.recording import Recording, unheard
from infra.ffmpeg.run import Ffmpeg

BITS = 8
_SCALE = 2 ** (BITS - 1)
_PRINTED = 1e-4  # more than half of a sixth decimal, times the scale, and far less than 16 bits can tell apart
_LINE = re.compile(r"lavfi\.astats\.([12])\.(Min|Max)_level=(\S+)|frame:\d+\s+pts:\S+\s+pts_time:(\S+)")

OnProgress = Callable[[float], Awaitable[None]]
"""Told how far it is: from 0 to 1."""


@dataclass(slots=True)
class Peaks:
    """Pairs of extremes, in 8 bits.

    Attributes:
        sample_rate: Of the sound.
        samples_per_pixel: How many samples a pair stands for; the last one for less.
        channels: One or two.
        data: Lowest and highest of the first channel, of the second, then of the next stretch: -128 to 127.
    """

    sample_rate: int
    samples_per_pixel: int
    channels: int
    data: "array[int]" = field(default_factory=lambda: array("b"))

    @property
    def length(self) -> int:
        """Pairs a channel."""
        return len(self.data) // (2 * self.channels)

    def halve(self) -> None:
        """Make one pair of two neighbours."""
        step = 2 * self.channels
        merged = array("b")
        for at in range(0, len(self.data), 2 * step):
            here = self.data[at : at + 2 * step]
            for channel in range(0, step, 2):
                merged.extend((min(here[channel::step]), max(here[channel + 1 :: step])))
        self.data = merged
        self.samples_per_pixel *= 2

    def columns(self, width: int) -> bytes:
        """The extremes of all channels in each of so many columns: pairs of signed bytes."""
        columns, step = array("b"), 2 * self.channels
        for column in range(width):
            first = column * self.length // width
            last = max((column + 1) * self.length // width, first + 1)
            here = self.data[first * step : last * step]
            columns.extend((min(here, default=0), max(here, default=0)))
        return columns.tobytes()

    def json(self) -> dict[str, object]:
        """The file's content, in audiowaveform's format."""
        return {
            "version": 2,
            "channels": self.channels,
            "sample_rate": self.sample_rate,
            "samples_per_pixel": self.samples_per_pixel,
            "bits": BITS,
            "length": self.length,
            "data": self.data.tolist(),
        }


async def find_peaks(
    ffmpeg: Ffmpeg,
    recording: Recording,
    *,
    finest: int,
    most: int,
    channels: int,
    on_progress: OnProgress,
    background: bool = False,
) -> Peaks:
    """Find the peaks of a sound.

    Args:
        ffmpeg: Runs FFmpeg.
        recording: The sound.
        finest: Samples a pair stands for, at least.
        most: Pairs a channel, at most.
        channels: One, all mixed; or two, if it has more than one.
        on_progress: Told how far it is.
        background: Whether everything else on the machine goes before it.

    Raises:
        DecodeRejected: `corrupt`: nothing in it can be decoded; `unsupported_codec`, `decode_…`.
        DecoderUnavailable: FFmpeg could not be started.
    """
    channels = min(channels, recording.track.channels)
    samples = math.ceil(recording.seconds * recording.track.sample_rate)
    stretch = max(finest, math.ceil(samples / most))
    gathering = _Gathering(Peaks(recording.track.sample_rate, stretch, channels), stretch, most)

    async def take(line: str) -> None:
        if (at := gathering.take(line)) is not None:
            await on_progress(min(at / max(recording.seconds, 0.001), 1.0))

    graph = (
        f"{recording.label}{recording.mixed(channels)},asetnsamples=n={stretch}:p=0,"
        "astats=metadata=1:reset=1:measure_perchannel=Min_level+Max_level:measure_overall=none,"
        "ametadata=mode=print:file=-[out]"
    )
    ran = await ffmpeg.run(
        "ffmpeg",
        [*recording.opened(ffmpeg.settings), "-filter_complex", graph, "-map", "[out]", "-f", "null", "-"],
        recording.file,
        recording.limits(ffmpeg.settings),
        on_line=take,
        background=background,
        budgeted=True,
    )
    if not ran.good or not gathering.peaks.length:
        raise unheard(ran)
    return gathering.peaks


@dataclass(slots=True)
class _Gathering:
    """From lines to peaks: where a file lasts longer than it says, stretches are joined as they come."""

    peaks: Peaks
    stretch: int
    most: int
    _levels: "array[int]" = field(default_factory=lambda: array("b"))
    _joined: int = 0

    def take(self, line: str) -> float | None:
        """Take a line in; where in the sound it is, in seconds, if it says that."""
        found = _LINE.fullmatch(line.strip())
        if found is None:
            return None
        if found[4]:
            return _number(found[4])
        self._levels.append(_scaled(found[3]))
        if len(self._levels) == 2 * self.peaks.channels:
            self._join()
        return None

    def _join(self) -> None:
        data, count = self.peaks.data, 2 * self.peaks.channels
        if self._joined == 0:
            data.extend(self._levels)
        else:
            at = len(data) - count
            for number, level in enumerate(self._levels):
                better = max if number % 2 else min
                data[at + number] = better(data[at + number], level)
        del self._levels[:]
        self._joined = (self._joined + 1) % (self.peaks.samples_per_pixel // self.stretch)
        if self.peaks.length > self.most and not self._joined:
            self._joined = self.peaks.length % 2 * (self.peaks.samples_per_pixel // self.stretch)
            self.peaks.halve()


def _scaled(level: str) -> int:
    """From -1..1 to 8 bits, as audiowaveform does it: 16 bits divided by 256, what is too loud cut.

    FFmpeg prints six decimals, so that what is a whole number may come out a little below: of 8 bits every sample is.
    """
    exact = _number(level) * _SCALE
    return max(-_SCALE, min(_SCALE - 1, int(exact + math.copysign(_PRINTED, exact))))


def _number(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        return 0.0
    return found if math.isfinite(found) else 0.0
