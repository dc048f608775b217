"""Which sizes a video is made in."""

import pytest

from infra.video.rungs import rungs
from schemas.probe_av import VideoProbe
from schemas.profiles import VideoProfile


def probe(width: int, height: int) -> VideoProbe:
    """A video of a size as displayed."""
    return VideoProbe(
        container="mp4",
        duration_seconds=1,
        index=0,
        codec="h264",
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        variable_frame_rate=False,
    )


def sizes(width: int, height: int) -> dict[str, tuple[int, int]]:
    """Each rung's size."""
    return {rung.name: (rung.width, rung.height) for rung in rungs(probe(width, height), VideoProfile())}


@pytest.mark.parametrize(
    ("width", "height", "largest", "size", "count"),
    [
        (1920, 1080, "1080p", (1920, 1080), 5),
        (3840, 2160, "1080p", (1920, 1080), 5),
        (1080, 1920, "1080p", (1080, 1920), 5),
        (1280, 720, "720p", (1280, 720), 4),
        (1900, 1000, "720p", (1280, 674), 4),
        (1920, 804, "1080p", (1920, 804), 5),
        (640, 480, "480p", (640, 480), 3),
        (1000, 1000, "720p", (720, 720), 4),
        (427, 241, "240p", (426, 240), 1),
        (161, 91, "240p", (160, 90), 1),
        (2, 2, "240p", (2, 2), 1),
    ],
)
def test_none_is_larger_than_the_video(
    width: int, height: int, largest: str, size: tuple[int, int], count: int
) -> None:
    """As many as fit, the smallest always, each within its box and even."""
    found = sizes(width, height)
    assert len(found) == count
    assert found[largest] == size
    assert all(each % 2 == 0 for pair in found.values() for each in pair)
    assert all(pair[0] <= max(width, 2) and pair[1] <= max(height, 2) for pair in found.values())


def test_what_is_playable_first_is_first() -> None:
    """360p by default, then the others, smallest first; the qualities say how they compare."""
    found = rungs(probe(1920, 1080), VideoProfile())
    assert [rung.name for rung in found] == ["360p", "240p", "480p", "720p", "1080p"]
    assert {rung.name: rung.quality for rung in found} == {
        "240p": "low",
        "360p": "standard",
        "480p": "standard",
        "720p": "standard",
        "1080p": "high",
    }
    assert next(rung.name for rung in rungs(probe(1920, 1080), VideoProfile(playable="2160p"))) == "240p"


def test_profiles_that_cannot_be() -> None:
    """Names that are the same, sizes in no order, chunks of too many segments."""
    first, second = VideoProfile().rungs[:2]
    with pytest.raises(ValueError, match="same name"):
        VideoProfile(rungs=(first, first))
    with pytest.raises(ValueError, match="smallest first"):
        VideoProfile(rungs=(second, first))
    with pytest.raises(ValueError, match="too many segments"):
        VideoProfile(segment_seconds=1, chunk_seconds=600)
