"""A recording's sound as FFmpeg may read it: one demuxer, one track, known decoders, bounded."""

import re
from dataclasses import dataclass
from pathlib import Path

from infra.decoder import DecodeRejected
from infra.ffmpeg.confined import INPUT
from infra.ffmpeg.probe import WALL_TO_CPU
from infra.ffmpeg.run import Limits, Ran
from infra.ffmpeg.sources import source
from infra.settings import MIB, Settings
from schemas.probe_av import AudioStream

# Limits, about ten times what was measured of the slowest step, coding AAC: 0.02 s of CPU time a second of stereo, and
# 8 s a MiB of speech in Opus. By size too, since a file may say that it is shorter than it is.
CPU_SECONDS = 60
CPU_PER_SECOND = 0.2
CPU_PER_MIB = 80
MOST_CHANNELS = 64  # what FFmpeg's mixer takes: libswresample/swresample_internal.h, SWR_CH_MAX
FROM_ZERO = "aresample=async=1:first_pts=0"
"""Silence until it begins, or it would be heard as early as the pictures are seen."""
STEREO = 2
_LISTED = re.compile(r"[0-9]+ channels \((.+)\)")  # FFmpeg's words for a set that has no name
_SIDES = (("FL", "FR"), ("SL", "SR"), ("BL", "BR"), ("FLC", "FRC"))
KNOWN_LAYOUTS = 8  # up to here FFmpeg knows which loudspeakers a number of channels is meant for


@dataclass(frozen=True, slots=True)
class Recording:
    """One sound track of a file.

    Attributes:
        file: Where the file is.
        content_type: What it was identified as: one of `infra.ffmpeg.sources.CONTAINERS`.
        track: The track, as it was probed.
        seconds: How long the file says it lasts.
    """

    file: Path
    content_type: str
    track: AudioStream
    seconds: float

    def opened(self, settings: Settings) -> list[str]:
        """FFmpeg's arguments up to and with the input."""
        return [
            *("-nostdin", "-hide_banner", "-nostats", "-v", "info"),
            *("-threads", "1", *self.told(settings), "-vn", "-sn", "-dn", "-i", INPUT),
        ]

    def told(self, settings: Settings) -> list[str]:
        """What FFmpeg's programs are told of the file, before it."""
        return source(settings, self.content_type, settings.decoder_memory_bytes)

    @property
    def label(self) -> str:
        """The track, in a filter graph."""
        return f"[0:{self.track.index}]"

    def mixed(self, channels: int) -> str:
        """Filters to one or two channels of floats at the track's own rate, gaps filled with silence, from zero on.

        As loud as the original at most: channels that are mixed are scaled so that nothing can clip.

        Raises:
            DecodeRejected: `unsupported_codec`: more channels than can be mixed.
        """
        count, layout = self.track.channels, "mono" if channels == 1 else "stereo"
        # What a coder's delay or a recorder's clock begins with is no silence to be heard.
        start = "asetpts=PTS-STARTPTS"
        rate = f"aresample={self.track.sample_rate}:async=1:rematrix_maxval=1.0"
        if count > MOST_CHANNELS:
            raise DecodeRejected("unsupported_codec", f"its sound has {count} channels; at most {MOST_CHANNELS} can be")
        if count > STEREO and self._is_rare:
            # Nobody knows which loudspeaker each is for: left and right by turns, or all as one.
            sides = [range(side, count, channels) for side in range(channels)]
            sums = [f"c{side}<{'+'.join(f'c{each}' for each in each_side)}" for side, each_side in enumerate(sides)]
            return f"{start},aresample=async=1,pan={'|'.join([layout, *sums])},{rate},aformat=sample_fmts=fltp"
        if count == STEREO and self._is_rare:
            start = f"channelmap=0|1:stereo,{start}"
        return f"{start},{rate},aformat=sample_fmts=fltp:channel_layouts={layout}"

    @property
    def _is_rare(self) -> bool:
        """Whether FFmpeg can't mix these loudspeakers: too many, or one without its other side, such as `FL+LFE`.

        https://github.com/FFmpeg/FFmpeg/blob/release/5.1/libswresample/rematrix.c, `sane_layout`.
        """
        if self.track.layout is None:
            return self.track.channels > KNOWN_LAYOUTS
        listed = _LISTED.fullmatch(self.track.layout)
        names = set(listed[1].split("+")) if listed else {"FC"}
        return not names & {"FL", "FR", "FC"} or any((left in names) != (right in names) for left, right in _SIDES)

    def limits(self, settings: Settings, file_bytes: int = 0) -> Limits:
        """What one run over all of it may take."""
        size = self.file.stat().st_size
        cpu = CPU_SECONDS + CPU_PER_SECOND * self.seconds + CPU_PER_MIB * size / MIB
        return Limits(settings.decoder_memory_bytes, int(cpu), WALL_TO_CPU * cpu, file_bytes)


def unheard(ran: Ran) -> DecodeRejected:
    """Why there is no sound of a run that was no good."""
    if "Cannot allocate memory" in ran.complained:
        return DecodeRejected("decode_memory", "its sound takes more memory than it may")
    return DecodeRejected("corrupt", "its sound can't be decoded")
