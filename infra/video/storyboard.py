"""Small pictures of a whole video, on a few sheets, and a WebVTT that says which is on screen when.

Key frames are the cheap ones: a pass over the packets copies at most one for each step, and only those are decoded,
however long the video is. Where they are too rare and the video is short enough, it is decoded whole.
Format: https://www.w3.org/TR/webvtt1/, with media fragments (https://www.w3.org/TR/media-frags/#naming-space).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from infra.ffmpeg import Ffmpeg
from infra.ffmpeg.complaints import refuse
from infra.ffmpeg.confined import INPUT, OUTPUT
from infra.ffmpeg.filters import Size, for_jpeg, within
from infra.ffmpeg.written import written
from infra.video.footage import Footage
from infra.video.quantizer import quantizer
from infra.video.tiles import Tiles, all_frames, key_frames

# Decoded in less time than another run of FFmpeg takes to begin: eight seconds of 720p.
FEW_PIXELS: Final = 200_000_000
# Of the least that is wanted: so far apart may two tiles be before the video is decoded whole.
RARE_STEPS: Final = 2.0
# Decoded in about a minute of one core: eight minutes of 1080p, an hour of 360p.
MOST_PIXELS: Final = 30_000_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What the sheets are like.

    Attributes:
        tiles: Most pictures in all.
        seconds: Shortest time between two.
        width: Of each, in pixels; at most twice as high.
        columns: Side by side on a sheet.
        rows: On a sheet at most.
        quality: From 1 to 100, on libjpeg's scale.
    """

    tiles: int
    seconds: float
    width: int
    columns: int
    rows: int
    quality: int


@dataclass(frozen=True, slots=True)
class Storyboard:
    """What was drawn.

    Attributes:
        sheets: Name to file, in order.
        sizes: Of each sheet, in pixels.
        counts: Tiles on each sheet.
        vtt: Which tile is on screen when.
    """

    sheets: dict[str, Path]
    sizes: tuple[Size, ...]
    counts: tuple[int, ...]
    vtt: str


async def draw(ffmpeg: Ffmpeg, footage: Footage, wish: Wish, into: Path) -> Storyboard:
    """Draw the sheets into a directory.

    Raises:
        DecodeRejected: No frame can be decoded; the code says why, as far as FFmpeg does.
        DecoderUnavailable: FFmpeg could not be started.
        OSError: No space is left.
    """
    seconds = footage.probe.duration_seconds
    step = max(wish.seconds, seconds / wish.tiles)
    size = within(footage.probe, wish.width, 2 * wish.width, even=True)
    if footage.pixels <= FEW_PIXELS:
        tiles = await all_frames(ffmpeg, footage, size, step, wish.tiles, into)
    else:
        tiles = await key_frames(ffmpeg, footage, size, step, wish.tiles, into)
        if _are_rare(tiles.starts, seconds, step) and footage.pixels <= MOST_PIXELS:
            whole = await all_frames(ffmpeg, footage, size, step, wish.tiles, into)
            tiles = whole if len(whole.starts) > len(tiles.starts) else tiles
    if not tiles.starts:
        raise refuse(tiles.ran, "there is no picture in it that can be decoded")
    return await _laid_out(ffmpeg, tiles, wish, seconds, into)


def _are_rare(starts: Sequence[float], seconds: float, step: float) -> bool:
    """Whether somewhere for long no tile begins."""
    moments = [0.0, *starts, seconds]
    return not starts or max(b - a for a, b in pairwise(moments)) > RARE_STEPS * step


async def _laid_out(ffmpeg: Ffmpeg, tiles: Tiles, wish: Wish, seconds: float, into: Path) -> Storyboard:
    count = len(tiles.starts)
    columns = min(wish.columns, count)
    rows = min(wish.rows, -(-count // columns))
    a_sheet = columns * rows
    number = -(-count // a_sheet)
    size = tiles.size
    arguments = [
        *("-nostdin", "-v", "error", "-f", "rawvideo", "-pixel_format", "yuv420p", "-framerate", "1"),
        *("-video_size", f"{size.width}x{size.height}", "-i", INPUT, "-frames:v", str(number)),
        *("-filter_complex", f"[0:v]setparams=range=tv:colorspace=bt709,{for_jpeg()},tile={columns}x{rows}"),
        *("-fps_mode", "passthrough", "-c:v", "mjpeg", "-q:v", f"{quantizer(wish.quality):g}"),
        *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "image2", "-start_number", "0", "-y"),
        f"{OUTPUT}/sheet-%d.jpg",
    ]
    limits = tiles.limits
    ran = await ffmpeg.run("ffmpeg", arguments, tiles.file, limits, output=into, background=True)
    names = ["storyboard.jpg"] if number == 1 else [f"storyboard-{sheet}.jpg" for sheet in range(number)]
    sheets = {name: path for sheet, name in enumerate(names) if (path := written(into, f"sheet-{sheet}.jpg"))}
    if len(sheets) < number:
        raise refuse(ran)
    return Storyboard(
        sheets,
        (Size(columns * size.width, rows * size.height),) * number,
        tuple(min(a_sheet, count - sheet * a_sheet) for sheet in range(number)),
        webvtt(tiles.starts, seconds, [_place(at, names, columns, rows, size) for at in range(count)]),
    )


def _place(at: int, names: list[str], columns: int, rows: int, size: Size) -> str:
    sheet, rest = divmod(at, columns * rows)
    row, column = divmod(rest, columns)
    return f"{names[sheet]}#xywh={column * size.width},{row * size.height},{size.width},{size.height}"


def webvtt(starts: Sequence[float], seconds: float, texts: Sequence[str]) -> str:
    """Cues that follow each other without a gap, the first from the video's beginning, the last to its end.

    Args:
        starts: When each begins.
        seconds: When the last one ends, if that is after it began.
        texts: What each says.
    """
    begin = [0, *(_milliseconds(start) for start in starts[1:])]
    end = [*begin[1:], max(_milliseconds(seconds), begin[-1] + 1)]
    cues = [f"{_clock(a)} --> {_clock(b)}\n{text}\n" for a, b, text in zip(begin, end, texts, strict=True)]
    return "\n".join(["WEBVTT\n", *cues])


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _clock(milliseconds: int) -> str:
    rest, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}"
