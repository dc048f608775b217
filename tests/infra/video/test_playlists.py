"""What a master playlist says of a track's rates is what RFC 8216 means by them."""

import pytest

from infra.video.playlists import Segment, Track


def _track(*segments: tuple[float, int]) -> Track:
    return Track("", 0, None, tuple(Segment(f"{number}.m4s", *each) for number, each in enumerate(segments)))


@pytest.mark.parametrize(
    ("segments", "peak", "average"),
    [
        ([(6.0, 6000)], 8000, 8000),
        ([(6.0, 6000), (6.0, 12_000), (6.0, 6000)], 16_000, 10_667),
        # What is left at the end counts together with what is before it: a player fetches both in a row.
        ([(6.0, 6000), (2.0, 4000)], 10_000, 10_000),
        ([(6.0, 6000), (6.0, 6000), (0.04, 6000)], 15_895, 11_961),
        ([(6.0, 6000), (3.0, 6000)], 16_000, 10_667),
        # Of many short ones so many as half of the longest lasts.
        ([(6.0, 6000), *[(1.0, 2000)] * 6], 16_000, 12_000),
        ([(0.0, 100)], 0, 0),
    ],
)
def test_the_highest_rate(segments: list[tuple[float, int]], peak: int, average: int) -> None:
    """It is that of any segments in a row that last half to one and a half times as long as the longest."""
    track = _track(*segments)
    assert (track.peak, track.average) == (peak, average)
    assert track.peak >= track.average
