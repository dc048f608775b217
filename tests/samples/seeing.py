"""What is to be seen in a picture or a video that was made of one of `tests.samples.videos`."""

import bisect
import re
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.samples.videos import CORNERS, STRIPES, VIDEOS

BLACK, WHITE = 80, 175


@dataclass(frozen=True)
class Frame:
    """Pixels in sRGB, 3 bytes each."""

    width: int
    height: int
    rgb: bytes

    def at(self, x: float, y: float) -> tuple[int, int, int]:
        """The mean colour around a place, given in fractions of the sides."""
        left, top = int(x * self.width), int(y * self.height)
        near = [
            (column, row)
            for row in range(max(top - 1, 0), min(top + 2, self.height))
            for column in range(max(left - 1, 0), min(left + 2, self.width))
        ]
        places = [3 * (row * self.width + column) for column, row in near]
        red, green, blue = (round(sum(self.rgb[place + at] for place in places) / len(places)) for at in range(3))
        return red, green, blue

    def corners(self) -> tuple[tuple[int, int, int], ...]:
        """The colours of the four corners, in the order of `CORNERS`."""
        return tuple(self.at(x, y) for y in (0.18, 0.82) for x in (0.25, 0.75))

    def number(self) -> int | None:
        """The number in its stripes; none if they are no stripes."""
        seen = [sum(self.at((stripe + 0.5) / STRIPES, 0.5)) // 3 for stripe in range(STRIPES)]
        if seen[-1] < WHITE or any(BLACK < each < WHITE for each in seen):
            return None
        return sum((value >= WHITE) << bit for bit, value in enumerate(seen[:-1]))

    def is_right(self, tolerance: int) -> bool:
        """Whether each corner has its colour, and so is where it belongs."""
        return self.error() <= tolerance

    def error(self) -> int:
        """How far the corner that is furthest off is, in the channel that is."""
        return max(
            abs(value - expected)
            for seen, known in zip(self.corners(), CORNERS, strict=True)
            for value, expected in zip(seen, known, strict=True)
        )


def still(content: bytes) -> Frame:
    """A JPEG or WebP, as it lies in the file."""
    with Image.open(BytesIO(content)) as image:
        return Frame(*image.size, image.convert("RGB").tobytes())


def part(content: bytes, x: int, y: int, width: int, height: int) -> Frame:
    """A part of a picture."""
    with Image.open(BytesIO(content)) as image:
        cut = image.convert("RGB").crop((x, y, x + width, y + height))
        return Frame(width, height, cut.tobytes())


def frames(path: Path) -> list[Frame]:
    """Every frame of a video, as a player shows it that follows the file's own words."""
    width, height = shown(path)
    command = [
        *("ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"),
        *("-sws_flags", "bicubic+accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"),
    ]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    size = 3 * width * height
    assert len(said) % size == 0
    return [Frame(width, height, said[at : at + size]) for at in range(0, len(said), size)]


def shown(path: Path) -> tuple[int, int]:
    """A video's size; it has square pixels and no rotation."""
    fields = ("width", "height", "sample_aspect_ratio")
    said = entries(path, f"stream={','.join(fields)}:stream_side_data=rotation")
    assert "rotation" not in said, said
    assert said.get("sample_aspect_ratio", "1:1") == "1:1"
    return int(said["width"]), int(said["height"])


def entries(path: Path, wanted: str, stream: str = "v:0") -> dict[str, str]:
    """What FFprobe says of one stream."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        stream,
        "-show_entries",
        wanted,
        "-of",
        "default",
        str(path),
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def moments(path: Path) -> list[float]:
    """When each frame of the first video track that is no cover comes on screen, in seconds since the file's beginning.

    Of the packets, so a frame that a decoder doubles or leaves out is noticed.
    """
    command = [
        *("ffprobe", "-v", "error", "-select_streams", "V:0", "-show_entries", "packet=pts_time:format=start_time"),
        *("-fflags", "+genpts", "-of", "csv", str(path)),
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line.split(",") for line in said.splitlines()]
    (begin,) = (float(row[1]) for row in rows if row[0] == "format")
    return sorted(float(row[1]) - begin for row in rows if row[0] == "packet")


def on_screen(starts: list[float], seconds: float) -> set[int]:
    """Which of the frames that come on screen at `starts` is there at a time, give or take a rounded millisecond.

    Before the first one, the first is.
    """
    return {max(0, bisect.bisect_right(starts, at) - 1) for at in (seconds - 0.0015, seconds + 0.0015)}


def likeness(path: Path, name: str) -> float:
    """SSIM against the picture that went into a video, of all frames that are to be seen in it."""
    recipe = VIDEOS[name]
    return _ssim(path, f"{recipe.source},select='{recipe.chosen}',")


def likeness_to(path: Path, original: Path) -> float:
    """SSIM against another video, frame by frame."""
    return _ssim(path, "[1:v]", "-i", str(original))


def _ssim(path: Path, source: str, *inputs: str) -> float:
    """FFmpeg's filter judges: https://ffmpeg.org/ffmpeg-filters.html#ssim."""
    width, height = shown(path)
    same = f"scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int,format=gbrp,settb=1/1000,setpts=N"
    graph = f"{source}{same}[source];[0:v]{same}[made];[made][source]ssim=shortest=1"
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-i", str(path), *inputs, "-filter_complex", graph]
    said = subprocess.run([*command, "-f", "null", "-"], check=True, capture_output=True, text=True).stderr
    found = re.search(r"All:([0-9.]+)", said)
    assert found, said
    return float(found[1])


@dataclass(frozen=True)
class Cue:
    """One cue of a storyboard's WebVTT: times in seconds, and a part of a sheet."""

    start: float
    end: float
    sheet: str
    place: tuple[int, int, int, int]


def cues(text: str) -> list[Cue]:
    """Read a storyboard's WebVTT, strictly: https://www.w3.org/TR/webvtt1/#file-structure."""
    head, *blocks = text.removesuffix("\n").split("\n\n")
    assert head == "WEBVTT"
    clock = r"(\d\d+):([0-5]\d):([0-5]\d\.\d{3})"
    found: list[Cue] = []
    for block in blocks:
        match = re.fullmatch(rf"{clock} --> {clock}\n([a-z0-9.-]+)#xywh=(\d+),(\d+),(\d+),(\d+)\n?", block)
        assert match, block
        hours, minutes, seconds, *rest = match.groups()
        start = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        end = int(rest[0]) * 3600 + int(rest[1]) * 60 + float(rest[2])
        assert start < end
        x, y, width, height = (int(each) for each in rest[4:])
        found.append(Cue(start, end, rest[3], (x, y, width, height)))
    return found
