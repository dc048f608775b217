"""A whole original video, as one FFmpeg run reads it that makes one thing of all of it."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from infra.ffmpeg import Limits
from infra.ffmpeg.confined import INPUT
from infra.ffmpeg.sources import source
from infra.settings import MIB, Settings
from schemas.probe_av import VideoProbe

# The slowest machine that a video is decoded on: pixels a second.
_PIXELS_PER_SECOND: Final = 4_000_000
_SECONDS_BESIDE: Final = 60.0
_WALL_TO_CPU: Final = 3  # a machine that has better things to do is not the file's fault
_FASTEST: Final = 240  # frames a second: a file may claim any rate


@dataclass(frozen=True, slots=True)
class Footage:
    """A video and what probing found in it.

    Attributes:
        file: The original on disk.
        content_type: What it was identified as.
        probe: What probing found.
    """

    file: Path
    content_type: str
    probe: VideoProbe

    def opened(self, settings: Settings, *options: str, threads: int = 1, verbosity: str = "error") -> list[str]:
        """FFmpeg's arguments up to and with the input, whose times begin at 0.

        Args:
            settings: Budgets.
            options: What else the input is to be read with.
            threads: How many the decoder gets.
            verbosity: What FFmpeg says on standard error.
        """
        return [
            *("-nostdin", "-hide_banner", "-nostats", "-v", verbosity),
            *source(settings, self.content_type, settings.encoder_memory_bytes),
            *("-threads", str(threads), "-noautorotate", *options, "-i", INPUT),
        ]

    @property
    def label(self) -> str:
        """Its pictures, in a filter graph."""
        return f"[0:{self.probe.index}]"

    @property
    def pixels(self) -> int:
        """How many are decoded, about."""
        rate = min(Fraction(self.probe.average_frame_rate or self.probe.base_frame_rate or "30"), Fraction(_FASTEST))
        frames = 1 + int(rate * Fraction(self.probe.duration_seconds))
        return frames * self.probe.coded_width * self.probe.coded_height

    def limits(self, settings: Settings, pixels: int, file_bytes: int = 256 * MIB) -> Limits:
        """What a run may take.

        Args:
            settings: Budgets.
            pixels: How many it decodes and encodes.
            file_bytes: Size of each file that it writes.
        """
        cpu = _SECONDS_BESIDE + pixels / _PIXELS_PER_SECOND + self.file.stat().st_size / (5 * MIB)
        return Limits(settings.encoder_memory_bytes, int(cpu), _WALL_TO_CPU * cpu, file_bytes)
