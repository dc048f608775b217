"""Which sizes are made of a video: those of its profile that are no larger than itself, and always the smallest."""

from typing import Final

from infra.ffmpeg.filters import fitted
from schemas.plan import Rung
from schemas.probe_av import VideoProbe
from schemas.profiles import RungProfile, VideoProfile
from schemas.renditions import Quality

_QUALITIES: Final[dict[int, tuple[Quality, ...]]] = {1: ("standard",), 2: ("low", "high")}


def rungs(probe: VideoProbe, profile: VideoProfile) -> tuple[Rung, ...]:
    """The one that is made first, then the others, smallest first.

    A rung is a box that lies or stands as the video does. A video that is smaller than even the smallest box is made in
    its own size.
    """
    chosen = [rung for rung in profile.rungs if _fills(probe, rung)] or [profile.rungs[0]]
    made = [_rung(probe, rung, quality) for rung, quality in zip(chosen, _qualities(len(chosen)), strict=True)]
    first = next((rung for rung in made if rung.name == profile.playable), made[0])
    return (first, *(rung for rung in made if rung is not first))


def _fills(probe: VideoProbe, rung: RungProfile) -> bool:
    """Whether the video reaches the box's edge in at least one direction."""
    longer, shorter = max(probe.width, probe.height), min(probe.width, probe.height)
    return longer >= rung.longer or shorter >= rung.shorter


def _rung(probe: VideoProbe, rung: RungProfile, quality: Quality) -> Rung:
    size = fitted(probe, rung.longer, rung.shorter, even=True)
    return Rung(name=rung.name, width=size.width, height=size.height, bit_rate=rung.bit_rate, quality=quality)


def _qualities(count: int) -> tuple[Quality, ...]:
    """The smallest is low, the largest high, what is between them standard."""
    return _QUALITIES.get(count) or ("low", *["standard" for _ in range(count - 2)], "high")  # pyright: ignore[reportReturnType]
