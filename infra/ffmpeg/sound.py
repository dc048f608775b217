"""A recording's sound made anew: decoded, measured, brought to a loudness if wanted, coded, without a word of metadata.

What is fine already is coded anew all the same: of the bytes that a stranger made nothing is handed on.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from infra.decoder import DecodeRejected
from infra.ffmpeg.confined import OUTPUT
from infra.ffmpeg.loudness import METER, SILENCE_LUFS, gained, measured
from infra.ffmpeg.probe import probe_recording
from infra.ffmpeg.recording import Recording, unheard
from infra.ffmpeg.run import Ffmpeg, Ran
from infra.ffmpeg.written import written
from infra.settings import MIB
from schemas.probe_av import AudioProbe
from schemas.profiles import SoundFormat
from schemas.renditions import Loudness

# Rates that every decoder knows; a rate in between becomes the next one above.
AAC_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_RATE = 48_000
CLOSE_LU = 0.5  # a limiter takes from the loudness: where that is more, the gain is raised and the sound coded again
MOST_PASSES = 3  # of coding: the second is within `CLOSE_LU` of all but clicks in silence
TOLD_EACH_SECONDS = "0.5"

OnProgress = Callable[[float], Awaitable[None]]
"""Told how far it is: from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How one format is written."""

    file: str
    content_type: str
    muxer: tuple[str, ...]
    encoder: str


CODINGS: dict[SoundFormat, Coding] = {
    # faststart: the index goes first, so that playing begins with the first bytes.
    "aac": Coding("sound.m4a", "audio/mp4", ("-movflags", "+faststart", "-f", "ipod"), "aac"),
    "opus": Coding("sound.opus", "audio/ogg", ("-f", "ogg"), "libopus"),
    "webm": Coding("sound.webm", "audio/webm", ("-f", "webm"), "libopus"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made.

    Attributes:
        formats: Which files: see `CODINGS`.
        channels: One or two; a recording of one channel keeps that.
        aac_bit_rate: Bits a second of two channels; one takes half.
        opus_bit_rate: The same.
        loudness_lufs: What to bring it to; none: nothing is changed.
        true_peak_dbtp: What no peak may exceed where it is changed.
    """

    formats: tuple[SoundFormat, ...] = ("aac",)
    channels: int = 2
    aac_bit_rate: int = 128_000
    opus_bit_rate: int = 96_000
    loudness_lufs: float | None = None
    true_peak_dbtp: float = -1.0


@dataclass(frozen=True, slots=True)
class Made:
    """What was made.

    Attributes:
        files: By format, where the file is and what FFprobe says of it.
        loudness: Of the recording, before any change.
        normalized: Whether the files have the loudness that was wished for.
    """

    files: dict[SoundFormat, tuple[Path, AudioProbe]]
    loudness: Loudness | None
    normalized: bool


async def render_sound_files(
    ffmpeg: Ffmpeg,
    recording: Recording,
    wish: Wish,
    directory: Path,
    *,
    on_progress: OnProgress,
    background: bool = False,
) -> Made:
    """Make the files of a sound in a directory.

    Args:
        ffmpeg: Runs FFmpeg.
        recording: What to make them of.
        wish: What to make.
        directory: Where; nobody else writes there.
        on_progress: Told twice a second how far it is.
        background: Whether everything else on the machine goes before it.

    Raises:
        DecodeRejected: `corrupt`: nothing in it can be decoded; `unsupported_codec`, `bomb`, `decode_…`.
        DecoderUnavailable: FFmpeg could not be started.
        OSError: No space is left.
    """
    rendering = _Rendering(ffmpeg, recording, wish, directory, on_progress, background)
    if wish.loudness_lufs is None:
        loudness, normalized = await rendering.coded(), False
    else:
        loudness, normalized = await rendering.normalized(wish.loudness_lufs)
    files: dict[SoundFormat, tuple[Path, AudioProbe]] = {}
    for name in wish.formats:
        files[name] = await rendering.verified(CODINGS[name])
    return Made(files, loudness, normalized)


@dataclass(slots=True)
class _Rendering:
    ffmpeg: Ffmpeg
    recording: Recording
    wish: Wish
    directory: Path
    on_progress: OnProgress
    background: bool
    passes: int = 1
    done: int = 0
    said: float = 0.0

    async def normalized(self, target: float) -> tuple[Loudness | None, bool]:
        """Measure, then code with a gain; again, where a limiter kept it from its target."""
        self.passes = 2
        loudness = await self.measured()
        if loudness is None or loudness.integrated_lufs < SILENCE_LUFS:
            await self.coded()
            return loudness, False
        gain, ceiling = target - loudness.integrated_lufs, self.wish.true_peak_dbtp
        for coding in count(1):
            reached = await self.coded(gained(gain, loudness.true_peak_dbtp, ceiling))
            missing = target - reached.integrated_lufs if reached else 0.0
            if abs(missing) <= CLOSE_LU or coding == MOST_PASSES:
                return loudness, abs(missing) <= 2 * CLOSE_LU
            gain += missing
            self.passes += 1
        raise AssertionError

    async def measured(self) -> Loudness | None:
        """Decode it, and say how loud it is."""
        graph = f"{self.recording.label}{self.recording.mixed(self._channels)},{METER}[out]"
        return self._loudness(await self._run(graph, ["-map", "[out]", "-f", "null", "-"]))

    async def coded(self, change: str = "") -> Loudness | None:
        """Write every file, and say how loud what was written is."""
        first = ",".join(part for part in (self.recording.mixed(self._channels), change) if part)
        labels = [f"[{name}]" for name in self.wish.formats]
        graph = (
            f"{self.recording.label}{first},asplit={len(labels) + 1}[meter]{''.join(labels)};[meter]{METER},anullsink"
        )
        arguments: list[str] = []
        for name, label in zip(self.wish.formats, labels, strict=True):
            arguments += ["-map", label, *self._written(name)]
        return self._loudness(await self._run(graph, arguments))

    async def verified(self, coding: Coding) -> tuple[Path, AudioProbe]:
        """Read a file that was written from its first packet to its last."""
        path = written(self.directory, coding.file)
        if path is None:
            raise DecodeRejected("corrupt", "nothing in it can be decoded")
        found = await probe_recording(self.ffmpeg, path, coding.content_type)
        assert isinstance(found, AudioProbe)
        return path, found

    @property
    def _channels(self) -> int:
        return min(self.recording.track.channels, self.wish.channels)

    def _written(self, name: SoundFormat) -> list[str]:
        coding, rate = CODINGS[name], OPUS_RATE
        bits = self.wish.opus_bit_rate
        if name == "aac":
            rate = next((each for each in AAC_RATES if each >= self.recording.track.sample_rate), AAC_RATES[-1])
            bits = self.wish.aac_bit_rate
        return [
            *("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"),
            *("-c:a", coding.encoder, "-ar", str(rate), "-b:a", str(bits // (2 if self._channels == 1 else 1))),
            *(*coding.muxer, "-y", f"{OUTPUT}/{coding.file}"),
        ]

    async def _run(self, graph: str, outputs: list[str]) -> Ran:
        settings = self.ffmpeg.settings
        most = max(self.wish.aac_bit_rate, self.wish.opus_bit_rate) / 8
        # Twice what the wished for bits make: a file may last longer than it says.
        room = int(64 * MIB + 2 * most * self.recording.seconds + 16 * self.recording.file.stat().st_size)
        arguments = [
            *self.recording.opened(settings),
            *("-filter_complex", graph, "-progress", "pipe:1", "-stats_period", TOLD_EACH_SECONDS, *outputs),
        ]
        ran = await self.ffmpeg.run(
            "ffmpeg",
            arguments,
            self.recording.file,
            self.recording.limits(settings, room),
            output=self.directory,
            on_line=self._told,
            background=self.background,
            budgeted=True,
        )
        self.done += 1
        if not ran.good:
            raise unheard(ran)
        return ran

    async def _told(self, line: str) -> None:
        """`-progress` writes `out_time_us=` and how much is done."""
        if found := re.fullmatch(r"out_time_us=([0-9]{1,15})", line):
            here = min(int(found[1]) / 1e6 / max(self.recording.seconds, 0.001), 1.0)
            # A pass more than was thought takes nothing back of what was said.
            self.said = max(self.said, (self.done + here) / self.passes)
            await self.on_progress(self.said)

    def _loudness(self, ran: Ran) -> Loudness | None:
        return measured(ran.complained, self.recording.seconds)
