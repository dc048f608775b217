"""Footage of files that tests make, and small wishes for what is made of it."""

from pathlib import Path
from typing import Any

from infra.ffmpeg import Ffmpeg, probe_recording
from infra.video import poster, progressive, storyboard
from infra.video.footage import Footage
from schemas.probe_av import VideoProbe
from schemas.types import TYPES

CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}
POSTER = poster.Wish(longest=1280, jpeg_quality=85, webp_quality=80)


def board(**changes: Any) -> storyboard.Wish:
    """A storyboard of a tile for each second at most."""
    told: dict[str, Any] = {"tiles": 100, "seconds": 1.0, "width": 160, "columns": 10, "rows": 10, "quality": 80}
    return storyboard.Wish(**told | changes)


def mp4(**changes: Any) -> progressive.Wish:
    """An MP4 that is quickly made."""
    told: dict[str, Any] = {"longer": 320, "shorter": 240, "preset": "ultrafast", "crf": 23}
    told |= {"bit_rate": 2_000_000, "audio_bit_rate": 64_000}
    return progressive.Wish(**told | changes)


async def footage(ffmpeg: Ffmpeg, file: Path, name: str) -> Footage:
    """What a function makes of a promoted file; the name's ending says what it is."""
    content_type = CONTENT_TYPES[name.rpartition(".")[2]]
    found = await probe_recording(ffmpeg, file, content_type)
    assert isinstance(found, VideoProbe)
    return Footage(file, content_type, found)
