"""Videos that are broken or made to do harm: each is made something of, or refused with a code; FFmpeg always ends."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg
from infra.settings import Settings
from infra.video import poster, progressive, storyboard
from infra.video.footage import Footage
from schemas.types import TYPES
from tests.infra.video.footages import POSTER, board, footage, mp4
from tests.infra.video.making import nothing, small, streamed
from tests.samples import av, fuzz, seeing, videos

Make = Callable[[bytes], Path]

VARIANTS = 20
SHORT = f"{videos.shot(64, 36, seconds=0.4)},{videos.yuv('smpte170m')}"
CONTAINERS = {
    "h264.mp4": (*videos.X264, "-bf", "2"),
    "hevc.mov": (*videos.X265, "-x265-params", "log-level=none"),
    "mpeg4.3gp": ("-c:v", "mpeg4"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime"),
    "h264.mkv": (*videos.X264, "-g", "5"),
    "mjpeg.avi": ("-c:v", "mjpeg"),
}


async def _outcome(ffmpeg: Ffmpeg, found: Footage, product: str) -> str:
    """`done`, or the code of what is said instead; anything else is raised."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        try:
            match product:
                case "poster":
                    await poster.take(ffmpeg, found, POSTER, into)
                case "stream":
                    name = f"damaged.{TYPES[found.content_type].extension}"
                    await streamed(ffmpeg, found.file, name, into, small(preset="ultrafast"), probe=found.probe)
                case "storyboard":
                    await storyboard.draw(ffmpeg, found, board(seconds=0.1), into)
                case _:
                    await progressive.encode(ffmpeg, found, mp4(), into, threads=1, on_progress=nothing)
        except DecodeRejected as rejected:
            return rejected.code
        return "done"


@pytest.mark.parametrize("name", CONTAINERS)
async def test_damaged_ones_end(ffmpeg: Ffmpeg, file_of: Make, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut, torn, filled with numbers no length is made for: though a probe of the whole file said that it is fine."""
    monkeypatch.setattr("infra.video.storyboard.FEW_PIXELS", 0)
    good = av.made(name, "-f", "lavfi", "-i", SHORT, *CONTAINERS[name])
    probe = (await footage(ffmpeg, file_of(good), name)).probe
    content_type = (await footage(ffmpeg, file_of(good), name)).content_type
    products = ("poster", "storyboard", "progressive", "stream")
    ended = [
        await _outcome(ffmpeg, Footage(file_of(damaged), content_type, probe), products[at % 4])
        for at, damaged in enumerate(fuzz.variants(good, VARIANTS, seed=name))
    ]
    assert len(ended) == VARIANTS
    assert not {"decode_crash", "decode_timeout", "decode_memory"} & set(ended), ended


@pytest.mark.parametrize("product", ["poster", "storyboard", "progressive", "stream"])
async def test_noise_for_packets(ffmpeg: Ffmpeg, file_of: Make, product: str) -> None:
    """Its structure is whole, and not one of its pictures can be decoded: refused, with what an owner can do."""
    good = av.made("noise.mp4", "-f", "lavfi", "-i", SHORT, *videos.X264)
    found = await footage(ffmpeg, file_of(good), "noise.mp4")
    begin = good.index(b"mdat") + 4
    size = int.from_bytes(good[begin - 8 : begin - 4], "big") - 8
    noise = good[:begin] + b"\xa5" * size + good[begin + size :]
    code = await _outcome(ffmpeg, Footage(file_of(noise), found.content_type, found.probe), product)
    assert code in {"corrupt", "corrupt_frames", "truncated"}


@pytest.mark.parametrize("product", ["poster", "storyboard", "progressive"])
async def test_more_tracks_than_are_accepted(file_of: Make, product: str) -> None:
    """Refused again, should a file come past the probe."""
    ffmpeg = Ffmpeg(Settings())
    found = await footage(ffmpeg, file_of(videos.video("h264.mp4")), "h264.mp4")
    assert await _outcome(Ffmpeg(Settings(max_streams=1)), found, product) == "too_many_streams"


@pytest.mark.parametrize("size", [(1, 1), (7680, 4320)], ids=["one pixel", "8K"])
@pytest.mark.parametrize("product", ["poster", "storyboard", "progressive"])
async def test_the_smallest_and_the_largest(ffmpeg: Ffmpeg, file_of: Make, product: str, size: tuple[int, int]) -> None:
    """Both are made something of."""
    source = f"color=red:size=64x64:rate=5:duration=0.4,format=rgb24,scale={size[0]}:{size[1]},setsar=1"
    name = "size.avi" if size[0] == 1 else "size.mp4"
    coded = ("-c:v", "mjpeg", "-pix_fmt", "yuvj444p") if size[0] == 1 else (*videos.X264, "-pix_fmt", "yuv420p")
    found = await footage(ffmpeg, file_of(av.made(name, "-f", "lavfi", "-i", source, *coded)), name)
    assert (found.probe.width, found.probe.height) == size
    assert await _outcome(ffmpeg, found, product) == "done"


def _changing(folder: Path) -> bytes:
    """A recording of a call, whose picture changes its size and lies, then stands."""
    for at, (width, height) in enumerate(((320, 180), (180, 320), (64, 36))):
        source = f"{videos.shot(width, height, rate='10', seconds=1)},{videos.yuv('smpte170m')}"
        part = av.made(
            "part.webm", "-f", "lavfi", "-i", source, "-c:v", "libvpx", "-deadline", "realtime", "-b:v", "1M"
        )
        (folder / f"{at}.webm").write_bytes(part)
    (folder / "list").write_text("".join(f"file {folder}/{at}.webm\n" for at in range(3)))
    return av.made("changing.webm", "-f", "concat", "-safe", "0", "-i", str(folder / "list"), "-c", "copy")


async def test_pictures_that_change_their_size(
    ffmpeg: Ffmpeg, file_of: Make, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As a call in a browser is recorded: every frame is there, in the size of the first."""
    body = _changing(tmp_path_factory.mktemp("parts"))
    found = await footage(ffmpeg, file_of(body), "changing.webm")
    encoded = await progressive.encode(ffmpeg, found, mp4(), made, threads=1, on_progress=nothing)
    assert encoded.frames == 30
    seen = seeing.frames(encoded.file)
    assert [frame.number() for frame in seen] == [*range(10)] * 3
    assert max(seen[at].error() for at in (0, 15, 29)) < 25
    assert await _outcome(ffmpeg, found, "poster") == "done"
    drawn = await storyboard.draw(ffmpeg, found, board(seconds=0.5), made)
    starts = seeing.moments(found.file)
    for cue in seeing.cues(drawn.vtt):
        tile = seeing.part(drawn.sheets[cue.sheet].read_bytes(), *cue.place)
        assert tile.number() in {at % 10 for at in seeing.on_screen(starts, cue.start)}
