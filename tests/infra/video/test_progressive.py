"""The one MP4 of a whole video: what is heard when."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.ffmpeg import Ffmpeg
from infra.video import progressive
from tests.infra.video.footages import footage, mp4
from tests.infra.video.making import nothing
from tests.samples import videos

Make = Callable[[bytes], Path]


@pytest.mark.parametrize(("name", "begins"), [("late-sound.mkv", 0.5), ("h264.mp4", 0.0), ("late.mp4", 0.0)])
async def test_sound_keeps_its_place(ffmpeg: Ffmpeg, file_of: Make, made: Path, name: str, begins: float) -> None:
    """What begins half a second after the pictures is heard half a second after them."""
    found = await footage(ffmpeg, file_of(videos.video(name)), name)
    encoded = await progressive.encode(ffmpeg, found, mp4(), made, threads=1, on_progress=nothing)
    assert _heard_from(encoded.file) == pytest.approx(begins, abs=0.05)


def _heard_from(file: Path) -> float:
    """Seconds of silence that it begins with."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-i", str(file), "-af", "silencedetect=noise=-50dB:duration=0.1"]
    said = subprocess.run([*command, "-f", "null", "-"], check=True, capture_output=True, text=True).stderr
    silences = re.findall(r"silence_start: (\S+)\s.*?silence_end: (\S+)", said, re.DOTALL)
    return next((float(end) for start, end in silences if float(start) < 0.05), 0.0)
