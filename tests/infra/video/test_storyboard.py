"""A storyboard: bounded in number, each picture what is on screen when its cue begins."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.ffmpeg import Ffmpeg
from infra.video import storyboard
from tests.infra.video.footages import board, footage
from tests.samples import av, seeing, videos

Make = Callable[[bytes], Path]


@pytest.fixture(autouse=True)
def _no_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small videos are treated as large ones are: by their key frames first."""
    monkeypatch.setattr("infra.video.storyboard.FEW_PIXELS", 0)


def _video(seconds: float, keys: str, name: str = "timed.mp4") -> bytes:
    """Ten frames a second, a key frame each so many."""
    source = f"{videos.shot(rate='10', seconds=seconds)},{videos.yuv()}"
    return av.made(name, "-f", "lavfi", "-i", source, *videos.X264, "-g", keys, "-keyint_min", "1")


async def _drawn(
    ffmpeg: Ffmpeg, body: bytes, file: Path, into: Path, wish: storyboard.Wish, name: str = "timed.mp4"
) -> tuple[storyboard.Storyboard, list[int | None]]:
    """The storyboard, and the number on each cue's tile, which must be the one on screen as the cue begins."""
    drawn = await storyboard.draw(ffmpeg, await footage(ffmpeg, file, name), wish, into)
    cues = seeing.cues(drawn.vtt)
    assert sum(drawn.counts) == len(cues) <= wish.tiles
    starts, numbers = seeing.moments(file), list[int | None]()
    for cue in cues:
        tile = seeing.part(drawn.sheets[cue.sheet].read_bytes(), *cue.place)
        assert tile.number() in seeing.on_screen(starts, cue.start)
        numbers.append(tile.number())
    for path, size in zip(drawn.sheets.values(), drawn.sizes, strict=True):
        whole = seeing.still(path.read_bytes())
        assert (whole.width, whole.height) == (size.width, size.height)
    return drawn, numbers


@pytest.mark.parametrize("name", ["timed.mp4", "timed.mkv", "timed.mov"])
async def test_key_frames_are_enough(ffmpeg: Ffmpeg, file_of: Make, made: Path, name: str) -> None:
    """One for each step, the first there is: cues begin when their pictures do."""
    body = _video(12, "7", name)
    _, numbers = await _drawn(ffmpeg, body, file_of(body), made, board(seconds=2), name)
    assert numbers == [0, 21, 42, 63, 84, 105]


async def test_where_they_are_rare_all_is_decoded(ffmpeg: Ffmpeg, file_of: Make, made: Path) -> None:
    """A picture for each step, at the step."""
    body = _video(12, "200")
    _, numbers = await _drawn(ffmpeg, body, file_of(body), made, board(seconds=2))
    assert numbers == [0, 20, 40, 60, 80, 100]


async def test_a_long_one_is_not_decoded(
    ffmpeg: Ffmpeg, file_of: Make, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What key frames there are must do: fewer pictures, none of them at a wrong time."""
    monkeypatch.setattr("infra.video.storyboard.MOST_PIXELS", 0)
    body = _video(12, "50")
    _, numbers = await _drawn(ffmpeg, body, file_of(body), made, board(seconds=1))
    assert numbers == [0, 50, 100]


async def test_there_are_never_more_than_wanted(ffmpeg: Ffmpeg, file_of: Make, made: Path) -> None:
    """Of an hour as of a minute: they are further apart; what doesn't fit on a sheet goes on the next."""
    hour = av.made(
        "hour.mkv", "-f", "lavfi", "-i", "color=gray:size=32x32:rate=2:duration=3600", *videos.X264, "-g", "8"
    )
    drawn = await storyboard.draw(
        ffmpeg,
        await footage(ffmpeg, file_of(hour), "hour.mkv"),
        board(tiles=10, columns=2, rows=2),
        made,
    )
    assert list(drawn.sheets) == ["storyboard-0.jpg", "storyboard-1.jpg", "storyboard-2.jpg"]
    assert drawn.counts == (4, 4, 2)
    cues = seeing.cues(drawn.vtt)
    assert [cue.start for cue in cues] == [360 * at for at in range(10)]
    assert [(cue.sheet, cue.place) for cue in cues[3:6]] == [
        ("storyboard-0.jpg", (32, 32, 32, 32)),
        ("storyboard-1.jpg", (0, 0, 32, 32)),
        ("storyboard-1.jpg", (32, 0, 32, 32)),
    ]


async def test_a_portrait_is_no_higher_than_twice_its_width(ffmpeg: Ffmpeg, file_of: Make, made: Path) -> None:
    """However it is shaped, it is not made larger, and a sheet stays a sheet."""
    source = f"color=red:size=16x1600:rate=2:duration=3,{videos.yuv()}"
    file = file_of(av.made("thin.mp4", "-f", "lavfi", "-i", source, *videos.X264))
    drawn = await storyboard.draw(ffmpeg, await footage(ffmpeg, file, "thin.mp4"), board(), made)
    assert seeing.cues(drawn.vtt)[0].place[2:] == (4, 320)


def test_webvtt_is_written_as_it_should_be() -> None:
    """Hours, too; the first cue begins with the video, the last one ends with it or a moment after it began."""
    text = storyboard.webvtt([0.5, 3599.9996, 36_000.25], 100, ["a", "b", "c"])
    assert text == (
        "WEBVTT\n\n00:00:00.000 --> 01:00:00.000\na\n\n01:00:00.000 --> 10:00:00.250\nb\n\n"
        "10:00:00.250 --> 10:00:00.251\nc\n"
    )
