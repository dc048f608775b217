"""The picture that stands for a video: not a black one, where there is another; one in any case."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.ffmpeg import Ffmpeg
from infra.video import poster
from infra.video.quantizer import quantizer
from tests.infra.video.footages import POSTER, footage
from tests.samples import av, seeing, videos

Make = Callable[[bytes], Path]


async def _taken(ffmpeg: Ffmpeg, file: Path, name: str, into: Path, wish: poster.Wish = POSTER) -> seeing.Frame:
    taken = await poster.take(ffmpeg, await footage(ffmpeg, file, name), wish, into)
    jpeg, webp = (seeing.still(path.read_bytes()) for path in (taken.jpeg, taken.webp))
    assert (jpeg.width, jpeg.height) == (webp.width, webp.height) == (taken.size.width, taken.size.height)
    assert jpeg.number() == webp.number()
    return jpeg


@pytest.mark.parametrize(("black", "expected"), [(0, {10}), (1.0, {10}), (2.5, {25}), (30, {300, 310}), (36, {None})])
async def test_black_is_looked_past(
    ffmpeg: Ffmpeg, file_of: Make, made: Path, black: float, expected: set[int | None]
) -> None:
    """Of a video that begins black: the first frame that isn't, if it comes soon; a key frame after it, if later."""
    source = videos.shot(rate="10", seconds=36, black=black)
    file = file_of(av.made("black.mp4", "-f", "lavfi", "-i", f"{source},{videos.yuv()}", *videos.X264, "-g", "10"))
    frame = await _taken(ffmpeg, file, "black.mp4", made)
    assert frame.number() in expected
    if expected == {None}:
        assert max(max(colour) for colour in frame.corners()) < 10


@pytest.mark.parametrize(("seconds", "expected"), [(1.04, {12, 13}), (0.4, {4, 5}), (0.08, {0, 1})])
async def test_a_short_one_has_its_middle(
    ffmpeg: Ffmpeg, file_of: Make, made: Path, seconds: float, expected: set[int]
) -> None:
    """Where there is no frame at one second."""
    source = f"{videos.shot(seconds=seconds)},{videos.yuv()}"
    file = file_of(av.made("short.mp4", "-f", "lavfi", "-i", source, *videos.X264))
    assert (await _taken(ffmpeg, file, "short.mp4", made)).number() in expected


async def test_a_frame_may_stay_for_long(ffmpeg: Ffmpeg, file_of: Make, made: Path) -> None:
    """Of a screen that is recorded only when it changes: what is on it at one second, though its frame came before."""
    source = f"{videos.shot(rate='2', seconds=8)},select='not(mod(n,8))',{videos.yuv()}"
    file = file_of(av.made("slow.mkv", "-f", "lavfi", "-i", source, "-fps_mode", "vfr", *videos.X264))
    assert (await _taken(ffmpeg, file, "slow.mkv", made)).number() == 0


async def test_pictures_that_come_late(
    ffmpeg: Ffmpeg, file_of: Make, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound alone for longer than is looked ahead: the first picture there is."""
    monkeypatch.setattr("infra.video.poster.NEAR_SECONDS", 1.0)
    sound = ("-f", "lavfi", "-i", "sine=duration=5")
    picture = ("-itsoffset", "4", "-f", "lavfi", "-i", f"{videos.shot(seconds=1)},{videos.yuv()}")
    late = av.made("late.mkv", *picture, *sound, "-map", "0", "-map", "1", "-fps_mode", "passthrough", *videos.X264)
    assert (await _taken(ffmpeg, file_of(late), "late.mkv", made)).number() == 0


async def test_it_is_made_smaller_never_larger(ffmpeg: Ffmpeg, file_of: Make, made: Path) -> None:
    """Its longer side is the profile's, whichever that is."""
    file = file_of(videos.video("phone-90.mov"))
    frame = await _taken(ffmpeg, file, "phone-90.mov", made, poster.Wish(100, 85, 80))
    assert (frame.width, frame.height) == (56, 100)
    assert frame.error() <= 12


def test_qualities_are_libjpegs() -> None:
    """The better, the finer; 50 is the tables themselves, in FFmpeg's tenths."""
    assert [quantizer(quality) for quality in (100, 90, 75, 50, 25, 1)] == [1, 2, 5, 10, 20, 31]
