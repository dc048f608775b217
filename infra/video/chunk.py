"""Encode one chunk: one decoding, all its rungs, an MP4 each.

FFmpeg's own clock is left alone (`-copyts`), so the cut is exact whatever the source's times are: `trim` takes the
frames from one tick to another, in the source's ticks. Its own `-ss` and `-t` would count in microseconds, and from the
first frame that they happen to meet.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, Limits
from infra.ffmpeg.complaints import refuse
from infra.ffmpeg.confined import INPUT, OUTPUT
from infra.ffmpeg.filters import Size, picture, resized
from infra.ffmpeg.sources import CONTAINERS, DECODERS
from infra.video.packets import times
from schemas.plan import Chunk, Plan, Rung, piece
from schemas.probe_av import VideoProbe

# ffmpeg-python builds the graph, `Ffmpeg` runs it. It has no types.
graph: Any = import_module("ffmpeg")

BUFFER_SECONDS: Final = 2
"""What a player is taken to have buffered: how far the bit rate may be exceeded for a moment."""
ENDLESS: Final = 1_000_000
"""Frames between key frames where none is asked for: all that there are were asked for."""
# x264 decodes a piece's first frames earlier than they are shown by as long as its first frames last: with uneven ones
# before the piece before it ends. A few ticks are as good. No preset reorders by more than two frames.
_DECODED: Final = r"setts=pts=PTS:dts=if(lt(DTS\,0)\,N-4\,DTS)"
# The slowest machine that a chunk is encoded on: pixels a second, of what is decoded and of all rungs.
_PIXELS_PER_SECOND: Final = 4_000_000
_SECONDS_BESIDE: Final = 120.0
_CPU_TO_WALL: Final = 64  # cores at most
_MOST_BYTES: Final = 4 * 1024**3

OnFrames = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a chunk is encoded from.

    Attributes:
        file: The original on disk.
        content_type: What it was identified as.
        probe: What probing found.
        plan: How it is coded.
    """

    file: Path
    content_type: str
    probe: VideoProbe
    plan: Plan


async def encode(
    ffmpeg: Ffmpeg,
    encoding: Encoding,
    chunk: Chunk,
    rungs: tuple[Rung, ...],
    into: Path,
    *,
    threads: int,
    on_frames: OnFrames,
) -> int:
    """Write `piece(chunk, rung)` of each rung into a directory.

    A picture that can't be decoded is left out, and the one before it shown for longer.

    Args:
        ffmpeg: Runs FFmpeg.
        encoding: What from.
        chunk: Which frames.
        rungs: Which sizes.
        into: The directory.
        threads: How many threads decoder and encoders get, each.
        on_frames: Told how many frames are encoded.

    Returns:
        How many pictures are left out.

    Raises:
        DecodeRejected: `corrupt_frames`: it has less than half of the pictures that it announces, or more; and what
            FFmpeg complains of.
        OSError: No space is left.
    """
    work = chunk.frames * (
        encoding.probe.coded_width * encoding.probe.coded_height + sum(rung.pixels for rung in rungs)
    )
    wall = _SECONDS_BESIDE + work / _PIXELS_PER_SECOND
    limits = Limits(ffmpeg.settings.encoder_memory_bytes, int(_CPU_TO_WALL * wall), wall, _MOST_BYTES)
    arguments = command(ffmpeg, encoding, chunk, rungs, threads)

    async def line(text: str) -> None:
        name, _, value = text.partition("=")
        if name == "frame" and value.strip().isdecimal():
            await on_frames(min(int(value), chunk.frames))

    ran = await ffmpeg.run("ffmpeg", arguments, encoding.file, limits, output=into, on_line=line, background=True)
    if not ran.good:
        raise refuse(ran)
    names = [piece(chunk.number, rung.name) for rung in rungs]
    decoded = min(len(each) for each in await times(ffmpeg, into, names))
    if not chunk.frames / 2 <= decoded <= chunk.frames:
        raise DecodeRejected("corrupt_frames", f"{chunk.frames} pictures are announced, {decoded} can be decoded")
    return chunk.frames - decoded


def command(ffmpeg: Ffmpeg, encoding: Encoding, chunk: Chunk, rungs: tuple[Rung, ...], threads: int) -> list[str]:
    """FFmpeg's arguments."""
    plan, largest = encoding.plan, max(rungs, key=lambda rung: rung.pixels)
    source: Any = _source(ffmpeg, encoding, chunk, threads)
    frames = source[str(encoding.probe.index)].filter("trim", **_span(chunk))
    # Should the first one be lost, the next is shown in its place: where a piece begins is known.
    frames = frames.filter("setpts", f"if(eq(N,0),0,PTS-({chunk.start}))")
    frames = _filtered(frames, picture(encoding.probe, Size(largest.width, largest.height)))
    frames = frames.filter("settb", f"1/{plan.timescale}")
    frames = frames.filter("setpts", "if(isnan(PREV_OUTPTS),PTS,max(PTS,PREV_OUTPTS+1))")
    copies = frames.filter_multi_output("split", len(rungs)) if len(rungs) > 1 else [frames]
    outputs: list[Any] = []
    for number, rung in enumerate(rungs):
        copy = copies[number]
        if (rung.width, rung.height) != (largest.width, largest.height):
            copy = _filtered(copy, resized(Size(rung.width, rung.height)))
        outputs.append(
            graph.output(copy, f"{OUTPUT}/{piece(chunk.number, rung.name)}", **_coding(plan, chunk, rung, threads))
        )
    arguments: list[str] = graph.merge_outputs(*outputs).get_args()
    return ["-nostdin", "-y", "-v", "error", *_QUIET, "-filter_complex_threads", str(threads), *arguments]


_QUIET: Final = ("-progress", "pipe:1", "-stats_period", "0.5", "-nostats")


def _source(ffmpeg: Ffmpeg, encoding: Encoding, chunk: Chunk, threads: int) -> Any:
    demuxer, _ = CONTAINERS[encoding.content_type]
    settings = ffmpeg.settings
    options: dict[str, Any] = {
        "f": demuxer,
        "format_whitelist": demuxer,
        "protocol_whitelist": "file",
        "codec_whitelist": DECODERS,
        "max_alloc": settings.encoder_memory_bytes // 2,
        "max_pixels": settings.max_video_pixels,
        "max_streams": settings.max_streams,
        "threads": threads,
        "copyts": None,
        "noautorotate": None,
    }
    if chunk.seek is not None:
        seconds = chunk.seek * Fraction(encoding.plan.time_base)
        options |= {"noaccurate_seek": None, "seek_timestamp": 1, "ss": f"{float(seconds):.6f}"}
    return graph.input(INPUT, **options)


def _span(chunk: Chunk) -> dict[str, int]:
    return {"start_pts": chunk.start} | ({} if chunk.end is None else {"end_pts": chunk.end})


def _filtered(stream: Any, filters: str) -> Any:
    """Filters as `infra.ffmpeg.filters` writes them, each `name=value:value:key=value`."""
    for each in filters.split(","):
        name, _, given = each.partition("=")
        positional = [part for part in given.split(":") if part and "=" not in part]
        named = dict(part.split("=", 1) for part in given.split(":") if "=" in part)
        stream = stream.filter(name, *positional, **named)
    return stream


def _coding(plan: Plan, chunk: Chunk, rung: Rung, threads: int) -> dict[str, Any]:
    """Key frames where segments begin and nowhere else, in every rung; each begins a closed group."""
    begin = ",".join(f"{float(Fraction(at, plan.timescale)):.6f}" for at in chunk.keyframes)
    rate = {"b:v": rung.bit_rate} if plan.coding.crf is None else {"crf": plan.coding.crf}
    return {
        "c:v": "libx264",
        "preset": plan.coding.preset,
        "profile:v": "high",
        **rate,
        "maxrate": rung.bit_rate,
        "bufsize": BUFFER_SECONDS * rung.bit_rate,
        "g": ENDLESS,
        "sc_threshold": 0,
        "force_key_frames": begin,
        "forced-idr": 1,
        **({} if plan.coding.b_frames else {"bf": 0}),
        "bsf:v": _DECODED,
        "flags": "+bitexact+cgop",
        "fflags": "+bitexact",
        "threads": threads,
        "fps_mode": "passthrough",
        "enc_time_base": f"1:{plan.timescale}",
        "video_track_timescale": plan.timescale,
        "map_metadata": -1,
        "map_chapters": -1,
        "f": "mp4",
    }
