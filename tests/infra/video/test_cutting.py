"""Where videos are cut: on frames, by their own times, in whole segments, none lost."""

from array import array
from fractions import Fraction
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from infra.video.cutting import DEFAULT_TIMESCALE, cut, output_times, rescaled, timescale_for
from infra.video.timeline import Timeline
from schemas.plan import MOST_CHUNKS


def timeline(steps: list[int], time_base: Fraction = Fraction(1, 1000), first: int = 0) -> Timeline:
    """A video whose frames follow each other by so many ticks."""
    return Timeline(time_base, array("q", accumulate(steps, initial=first)), array("q", [first]), 40)


def test_a_short_video_is_one_chunk() -> None:
    """Until it has segments for a chunk and a half; then there are two."""
    assert len(cut(timeline([40] * 2090), 6, 60).chunks) == 1  # 84 s
    assert len(cut(timeline([40] * 2300), 6, 60).chunks) == 2  # 92 s


def test_chunks_are_whole_segments() -> None:
    """Of 29.97 frames a second, a segment begins with the first frame at or after each six seconds."""
    found = cut(timeline([1001] * (30 * 200), Fraction(1, 30000)), 6, 60)
    assert found.timescale == 30000
    assert [len(chunk.keyframes) for chunk in found.chunks] == [10, 10, 14]
    for chunk in found.chunks:
        for at in chunk.keyframes:
            time = Fraction(chunk.offset + at, 30000)
            assert time // 6 > (time - Fraction(1001, 30000)) // 6
    assert sum(chunk.frames for chunk in found.chunks) == 6001


def test_a_gap_is_no_segment() -> None:
    """Where nothing is shown for twenty seconds nothing begins."""
    found = cut(timeline([40] * 200 + [20_000] + [40] * 200), 6, 60)
    (chunk,) = found.chunks
    assert [at / found.timescale for at in chunk.keyframes] == [0, 6, 28, 30, 36]
    assert chunk.frames == 402


def test_nothing_is_cut_between_frames_of_one_time() -> None:
    """Frames that claim one time follow each other by a tick, and stay together."""
    steps = [1000] * 5 + [0] * 3 + [1000] * 5
    found = cut(timeline(steps), 1, 1)
    times = output_times(timeline(steps), found.timescale)
    assert all(before < after for before, after in pairwise(times))
    assert sum(chunk.frames for chunk in found.chunks) == 14
    assert [chunk.frames for chunk in found.chunks][5] == 4


def test_a_time_base_that_fits() -> None:
    """Ticks are kept wherever that is reasonable; where it isn't, 90,000 a second are near enough."""
    assert timescale_for(Fraction(1001, 30000)) == 30000
    assert timescale_for(Fraction(1, 25)) == 10000
    assert timescale_for(Fraction(1, 12800)) == 12800
    assert timescale_for(Fraction(1, 1_000_000)) == DEFAULT_TIMESCALE


def test_rounding_is_ffmpegs() -> None:
    """Half away from zero, as `av_rescale_q`."""
    assert [rescaled(at, Fraction(1, 2), 1) for at in (-3, -1, 0, 1, 3)] == [-2, -1, 0, 1, 2]


def test_twelve_hours_have_no_more_chunks_than_an_event_can_count() -> None:
    """However short a profile wants them."""
    found = cut(timeline([1000] * (12 * 3600)), 6, 12)
    assert len(found.chunks) <= MOST_CHUNKS
    assert max(len(chunk.keyframes) for chunk in found.chunks) <= 128


@given(
    st.lists(st.one_of(st.integers(0, 100), st.just(0), st.integers(0, 20_000)), min_size=1, max_size=400),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 1_000_000)]),
    st.integers(-5000, 5000),
)
def test_no_frame_is_lost(steps: list[int], time_base: Fraction, first: int) -> None:
    """Whatever the times are, each frame is in exactly one chunk, and what chunks say of each other agrees."""
    video = timeline(steps, time_base, first)
    found = cut(video, 1, 2)
    times = output_times(video, found.timescale)
    counted = 0
    for number, chunk in enumerate(found.chunks):
        after = found.chunks[number + 1] if number + 1 < len(found.chunks) else None
        inside = [tick for tick in video.frames if tick >= chunk.start and (chunk.end is None or tick < chunk.end)]
        assert len(inside) == chunk.frames
        assert times[counted] == chunk.offset
        assert chunk.end == (after.start if after else None)
        assert chunk.keyframes[0] == 0
        assert all(chunk.offset + at in times[counted : counted + chunk.frames] for at in chunk.keyframes)
        counted += chunk.frames
    assert counted == len(times)
    assert found.duration > times[-1]
