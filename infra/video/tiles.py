"""Small pictures of a video at many moments, raw in one file, and when each comes on screen."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.ffmpeg import Ffmpeg, Limits, Ran
from infra.ffmpeg.confined import INPUT, OUTPUT
from infra.ffmpeg.filters import Size, deinterlaced, shown
from infra.ffmpeg.sources import DECODERS
from infra.ffmpeg.written import written
from infra.settings import MIB, Settings
from infra.video.footage import Footage

_SHOWN = re.compile(r"frame:\d+ +pts:\S+ +pts_time:(-?[0-9.]{1,24}(?:e[+-]?\d{1,3})?)")
# Says of every frame that comes through when it is shown; it says nothing of one without any metadata.
_SAID: Final = "metadata=mode=add:key=tile:value=1,metadata=mode=print:file=-"
_KEPT: Final = "kept.mkv"  # Matroska takes every codec that comes in, and counts milliseconds whatever the source does
_TILES: Final = "tiles.raw"
_CHOSEN: Final = "chosen.raw"


@dataclass(frozen=True, slots=True)
class Tiles:
    """Pictures in `yuv420p`, one after another.

    Attributes:
        file: Where they are.
        size: Of each.
        starts: When each comes on screen, in seconds since the video's beginning; each later than the one before.
        ran: What FFmpeg said.
        limits: What a run over them may take.
    """

    file: Path
    size: Size
    starts: tuple[float, ...]
    ran: Ran
    limits: Limits


async def key_frames(ffmpeg: Ffmpeg, footage: Footage, size: Size, step: float, most: int, into: Path) -> Tiles:
    """The first key frame of each `step` seconds, `most` at most.

    A pass over the packets copies those into a file of its own, and only that one is decoded. What FFmpeg's `noise`
    filter drops is said by an expression with a memory (`st`, `ld`): the next step's beginning, and how many were kept.

    Raises:
        DecodeRejected: `decode_…`, `bomb`.
    """
    settings = ffmpeg.settings
    wanted = f"key*gte(pts,0)*gte(pts/1000,ld(0))*lt(ld(1),{most})"
    remember = f"st(0,{step:.6f}*(1+floor(pts/1000/{step:.6f})))*0+st(1,ld(1)+1)*0"
    copying = [
        *footage.opened(settings, "-fflags", "+genpts", f"-discard:{footage.probe.index}", "nokey"),
        *("-map", f"0:{footage.probe.index}", "-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1"),
        *("-bsf:v", f"noise=drop='if({wanted},{remember},1)'", "-f", "matroska", "-y", f"{OUTPUT}/{_KEPT}"),
    ]
    size_of_all = footage.file.stat().st_size
    limits = footage.limits(settings, 0, size_of_all + MIB)
    ran = await ffmpeg.run("ffmpeg", copying, footage.file, limits, output=into, background=True)
    kept = written(into, _KEPT)
    if kept is None:
        return Tiles(into / _TILES, size, (), ran, limits)
    decoding = [
        *("-nostdin", "-v", "error", *_own(settings), "-threads", "1", "-noautorotate", "-copyts"),
        *("-skip_frame", "nokey", "-i", INPUT, "-filter_complex", f"[0:v]{shown(footage.probe, size)},{_SAID}"),
        *_raw(most),
    ]
    return await _decoded(ffmpeg, footage, size, most, into, decoding, kept, most)


async def all_frames(ffmpeg: Ffmpeg, footage: Footage, size: Size, step: float, most: int, into: Path) -> Tiles:
    """What is on screen at each multiple of `step` seconds, of the whole video decoded.

    Raises:
        DecodeRejected: `decode_…`, `bomb`.
    """
    # Rounded up, each moment shows the last frame that began before it.
    moments = f"fps={1 / step:.9f}:start_time=0:round=up"
    graph = ",".join([*deinterlaced(footage.probe), moments, shown(footage.probe, size), _SAID])
    decoding = [*footage.opened(ffmpeg.settings), "-filter_complex", f"{footage.label}{graph}", *_raw(2 * most)]
    frames = footage.pixels // (footage.probe.coded_width * footage.probe.coded_height)
    return await _decoded(ffmpeg, footage, size, most, into, decoding, footage.file, frames)


def _own(settings: Settings) -> list[str]:
    """What a file is read with that FFmpeg wrote of a stranger's packets."""
    return [
        *("-f", "matroska", "-format_whitelist", "matroska", "-protocol_whitelist", "file"),
        *("-codec_whitelist", DECODERS, "-max_alloc", str(settings.encoder_memory_bytes // 2)),
        *("-max_pixels", str(settings.max_video_pixels)),
    ]


def _raw(most: int) -> list[str]:
    return [
        *("-frames:v", str(most), "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *("-y", f"{OUTPUT}/{_TILES}"),
    ]


async def _decoded(
    ffmpeg: Ffmpeg,
    footage: Footage,
    size: Size,
    most: int,
    into: Path,
    arguments: list[str],
    file: Path,
    frames: int,
) -> Tiles:
    each = size.width * size.height * 3 // 2
    pixels = frames * footage.probe.coded_width * footage.probe.coded_height
    limits = footage.limits(ffmpeg.settings, pixels, 2 * each * most + MIB)
    (into / _TILES).unlink(missing_ok=True)
    ran = await ffmpeg.run("ffmpeg", arguments, file, limits, output=into, background=True)
    said = [float(found[1]) for line in ran.said if (found := _SHOWN.match(line))]
    raw = written(into, _TILES)
    there = min(len(said), raw.stat().st_size // each if raw else 0)
    # A graph that begins anew, since pictures change their size, tells the same moments again.
    chosen = [at for at in range(there) if said[at] > max(said[:at], default=-1.0)][:most]
    if raw and chosen != list(range(there)):
        raw = _picked(raw, into / _CHOSEN, chosen, each)
    return Tiles(raw or into / _TILES, size, tuple(said[at] for at in chosen), ran, limits)


def _picked(raw: Path, into: Path, chosen: list[int], each: int) -> Path:
    with raw.open("rb") as source, into.open("wb") as target:
        for at in chosen:
            source.seek(at * each, os.SEEK_SET)
            target.write(source.read(each))
    return into
