"""A video's sound, whole: on the video's clock, in mono or stereo AAC, measured, brought to a loudness if wanted.

Never cut: each piece of AAC begins with samples that aren't the sound's, and between two pieces they would be heard.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, Ran
from infra.ffmpeg.complaints import refuse
from infra.ffmpeg.confined import OUTPUT
from infra.ffmpeg.loudness import METER, SILENCE_LUFS, gained, measured
from infra.ffmpeg.recording import FROM_ZERO, Recording
from infra.settings import MIB
from infra.video.packets import times
from schemas.model import Model
from schemas.plan import SOUND, Plan, Sound
from schemas.renditions import Loudness

FRAME: Final = 1024
"""Samples of an AAC frame; the encoder begins with one that is none of the sound's."""
CEILING_DBTP: Final = -1.0
STEREO: Final = 2
# What is a multiple of the one stays in its family; everything else becomes the other.
_RATES: Final = (11_025, 44_100, 48_000)
_ROOM: Final = 16 * MIB
# FFmpeg fills and cuts only where sound and clock are further apart: a lost packet, or a recorder's clock that is not
# the sound's, is no reason to refuse a video (https://ffmpeg.org/ffmpeg-resampler.html, `min_hard_comp`).
_LEFT_ALONE: Final = 0.1

OnSeconds = Callable[[float], Awaitable[None]]


class SoundFacts(Model):
    """What is known of the sound that was encoded.

    Attributes:
        packets: Of AAC; 0: not a sample could be decoded, as in a track that has none.
        sample_rate: Of what was encoded.
        loudness: Of the original.
        normalized: Whether it was brought to the plan's loudness.
    """

    packets: int
    sample_rate: int
    loudness: Loudness | None = None
    normalized: bool = False


@dataclass(slots=True)
class _Encoding:
    ffmpeg: Ffmpeg
    recording: Recording
    plan: Plan
    sound: Sound
    into: Path
    on_seconds: OnSeconds

    @property
    def channels(self) -> int:
        return min(self.recording.track.channels, STEREO)

    @property
    def rate(self) -> int:
        small, family, other = _RATES
        return family if self.recording.track.sample_rate % small == 0 else other

    async def run(self, change: str = "", *, write: bool = True) -> Loudness | None:
        """Decode it once: measured as it is, and written with a change."""
        first = float(self.plan.first * Fraction(self.plan.time_base))
        # What begins before the first frame is cut, and silence fills what is missing: both have one zero then.
        clock = f"asetpts=PTS-({first:.9f})/TB,{FROM_ZERO}"
        parts = [clock, self.recording.mixed(self.channels), METER, *([change] if change else [])]
        graph = f"{self.recording.label}{','.join(parts)}[out]"
        target = self._written() if write else ["-f", "null", "-"]
        room = _ROOM + int(2 * self.plan.coding.audio_bit_rate / 8 * self.recording.seconds)
        limits = self.recording.limits(self.ffmpeg.settings, room)
        arguments = [*self.recording.opened(self.ffmpeg.settings), "-copyts", "-filter_complex", graph]
        arguments = ["-copyts", *arguments, "-map", "[out]", "-progress", "pipe:1", "-stats_period", "0.5", *target]
        ran = await self.ffmpeg.run(
            "ffmpeg", arguments, self.recording.file, limits, output=self.into, on_line=self._told, background=True
        )
        if not ran.good:
            raise refuse(ran, "its sound can't be decoded")
        return self._loudness(ran)

    def _written(self) -> list[str]:
        bits = self.plan.coding.audio_bit_rate // (1 if self.channels == STEREO else 2)
        return [
            *("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"),
            *("-c:a", "aac", "-ar", str(self.rate), "-b:a", str(bits), "-f", "mp4", "-y", f"{OUTPUT}/{SOUND}"),
        ]

    def _loudness(self, ran: Ran) -> Loudness | None:
        return measured(ran.complained, self.recording.seconds)

    async def _told(self, line: str) -> None:
        if found := re.fullmatch(r"out_time_us=([0-9]{1,15})", line):
            await self.on_seconds(int(found[1]) / 1e6)


async def encode_sound(
    ffmpeg: Ffmpeg, recording: Recording, plan: Plan, into: Path, *, on_seconds: OnSeconds
) -> SoundFacts:
    """Write `SOUND` into a directory.

    Args:
        ffmpeg: Runs FFmpeg.
        recording: The original and its track.
        plan: How it is coded, and how long it should be.
        into: The directory.
        on_seconds: Told how much of it is encoded.

    Raises:
        DecodeRejected: `corrupt`: it lacks more of its length than a lost packet or two; and what FFmpeg complains of.
        OSError: No space is left.
    """
    assert plan.sound is not None
    encoding = _Encoding(ffmpeg, recording, plan, plan.sound, into, on_seconds)
    target, normalized = plan.coding.loudness_lufs, False
    if target is None:
        loudness = await encoding.run()
    else:
        loudness = await encoding.run(write=False)
        normalized = loudness is not None and loudness.integrated_lufs > SILENCE_LUFS
        change = ""
        if loudness is not None and normalized:
            change = gained(target - loudness.integrated_lufs, loudness.true_peak_dbtp, CEILING_DBTP)
        await encoding.run(change)
    if not (into / SOUND).exists():
        return SoundFacts(packets=0, sample_rate=encoding.rate)
    (found,) = await times(ffmpeg, into, [SOUND])
    _require_length(plan.sound, len(found), encoding.rate)
    return SoundFacts(packets=len(found), sample_rate=encoding.rate, loudness=loudness, normalized=normalized)


def _require_length(sound: Sound, packets: int, rate: int) -> None:
    """As long as the original's packets say, within a frame of theirs, one of ours, and what no gap is filled for."""
    seconds = max(packets - 1, 0) * FRAME / rate
    if abs(seconds - sound.seconds) > sound.frame_seconds + FRAME / rate + _LEFT_ALONE:
        raise DecodeRejected("corrupt", f"{sound.seconds:.2f} s of sound are announced, {seconds:.2f} s can be decoded")
