"""Where a video is cut: into segments at which players may switch rungs, and chunks that machines encode.

Boundaries are frames, by their own times: a segment begins with the first frame shown at or after each multiple of its
length, a chunk with every so-manieth segment. So chunks are whole segments, whatever the frame rate does.
"""

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from infra.video.timeline import Timeline
from schemas.plan import MOST_CHUNKS, MOST_KEYFRAMES, Chunk, Table

# MP4's tracks get at least that many ticks a second; FFmpeg would double fewer until they are.
LEAST_TIMESCALE: Final = 10_000
# With more, a tick is not much longer than the microsecond in which FFmpeg counts what it joins.
MOST_TIMESCALE: Final = 240_000
DEFAULT_TIMESCALE: Final = 90_000


@dataclass(frozen=True, slots=True)
class Cutting:
    """How a video is cut.

    Attributes:
        timescale: Ticks a second of what is made.
        chunks: In order.
        duration: From the first frame to the last one's end, in `timescale`.
        digest: SHA-256 of all frames' times in `timescale`, as decimal lines.
        longest: How long any frame is shown before the next one, in `timescale`.
    """

    timescale: int
    chunks: tuple[Chunk, ...]
    duration: int
    digest: str
    longest: int

    @property
    def table(self) -> Table:
        """What whoever joins them needs to know."""
        offsets, frames = zip(*((chunk.offset, chunk.frames) for chunk in self.chunks), strict=True)
        return Table(offsets=offsets, frames=frames)


def timescale_for(time_base: Fraction) -> int:
    """The ticks a second in which every time of the source is a whole number; 90,000 where that would be too many."""
    least = time_base.denominator * max(1, -(-LEAST_TIMESCALE // time_base.denominator))
    return least if least <= MOST_TIMESCALE else DEFAULT_TIMESCALE


def cut(timeline: Timeline, segment_seconds: float, chunk_seconds: float) -> Cutting:
    """Cut a video."""
    timescale = timescale_for(timeline.time_base)
    times = output_times(timeline, timescale)
    lasting = max(1, rescaled(timeline.last, timeline.time_base, timescale))
    duration = times[-1] + lasting
    per_chunk, segments = _grid(duration / timescale, segment_seconds, chunk_seconds)
    starts = list(_starts(timeline, times, timescale, Fraction(segment_seconds), segments))
    firsts = list(_firsts(starts, per_chunk, segments))
    chunks = tuple(_chunks(timeline, times, starts, firsts))
    longest = max((after - before for before, after in pairwise(times)), default=0)
    return Cutting(timescale, chunks, duration, digest(times), longest)


def output_times(timeline: Timeline, timescale: int) -> "array[int]":
    """When frames are shown in what is made: from the first one, each later than the one before it.

    Frames that claim the same time, as a broken camera writes them, follow each other by a tick.
    """
    times, before = array("q"), -1
    for tick in timeline.frames:
        before = max(rescaled(tick - timeline.frames[0], timeline.time_base, timescale), before + 1)
        times.append(before)
    return times


def rescaled(ticks: int, time_base: Fraction, timescale: int) -> int:
    """From one clock to another, rounded as FFmpeg's `av_rescale_q` does: half away from zero."""
    numerator, denominator = ticks * time_base.numerator * timescale, time_base.denominator
    rounded = (2 * abs(numerator) + denominator) // (2 * denominator)
    return rounded if numerator >= 0 else -rounded


def digest(times: "array[int]") -> str:
    """A fingerprint of all times."""
    whole = hashlib.sha256()
    for start in range(0, len(times), 4096):
        whole.update("".join(f"{time}\n" for time in times[start : start + 4096]).encode())
    return whole.hexdigest()


def _grid(seconds: float, segment_seconds: float, chunk_seconds: float) -> tuple[int, int]:
    """How many segments make a chunk, and how many there are; the last chunk may be half as long again."""
    per_chunk = max(1, round(chunk_seconds / segment_seconds))
    segments = max(1, -int(-seconds // segment_seconds))
    while -(-segments // per_chunk) > MOST_CHUNKS:
        per_chunk += 1
    return min(per_chunk, MOST_KEYFRAMES // 2), segments


def _starts(
    timeline: Timeline, times: "array[int]", timescale: int, length: Fraction, segments: int
) -> Iterator[tuple[int, int]]:
    """The first frame of each segment: its place on the grid and its number among the frames."""
    number = 0
    for place in range(segments):
        at = place * length * timescale
        while number < len(times) and (times[number] < at or not _is_boundary(timeline, times, timescale, number)):
            number += 1
        if number == len(times):
            return
        # A gap in the video may leave places without a frame of their own.
        if place + 1 == segments or times[number] < (place + 1) * length * timescale:
            yield place, number


def _is_boundary(timeline: Timeline, times: "array[int]", timescale: int, number: int) -> bool:
    """Whether all frames before it claim earlier times, and it keeps its own."""
    tick = timeline.frames[number]
    if number and timeline.frames[number - 1] == tick:
        return False
    return times[number] == rescaled(tick - timeline.frames[0], timeline.time_base, timescale)


def _firsts(starts: list[tuple[int, int]], per_chunk: int, segments: int) -> Iterator[int]:
    """Which of the segments begin a chunk; what would be less than half a chunk at the end belongs to the last one."""
    chunk = -1
    whole = max(1, int(segments / per_chunk + 0.5))
    for position, (place, _) in enumerate(starts):
        mine = min(place // per_chunk, whole - 1)
        if mine != chunk:
            chunk = mine
            yield position


def _chunks(
    timeline: Timeline, times: "array[int]", starts: list[tuple[int, int]], firsts: list[int]
) -> Iterator[Chunk]:
    numbers = [number for _, number in starts]
    for position, first in enumerate(firsts):
        last = firsts[position + 1] if position + 1 < len(firsts) else len(numbers)
        begin = numbers[first]
        end = numbers[last] if last < len(numbers) else len(times)
        yield Chunk(
            number=position,
            start=timeline.frames[begin],
            end=timeline.frames[end] if end < len(times) else None,
            seek=_key_before(timeline, begin) if position else None,
            frames=end - begin,
            offset=times[begin],
            keyframes=tuple(times[number] - times[begin] for number in numbers[first:last]),
        )


def _key_before(timeline: Timeline, number: int) -> int | None:
    """The last key frame shown no later than a frame: what follows it can be decoded.

    None: from the beginning on, as before 0, where FFmpeg takes a place to seek to for a mistake.
    """
    found = bisect_right(timeline.keys, timeline.frames[number])
    return timeline.keys[found - 1] if found and timeline.keys[found - 1] > 0 else None
