"""Filters made of a probe: what comes out is what people should see, frame by frame and pixel by pixel."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.ffmpeg import Ffmpeg, Limits, probe_recording
from infra.ffmpeg.confined import INPUT
from infra.ffmpeg.filters import Size, fitted, for_jpeg, for_webp, picture, resized
from infra.ffmpeg.sources import source
from schemas.probe_av import VideoProbe
from schemas.types import TYPES
from tests.samples import seeing, videos

Make = Callable[[bytes], Path]

CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}
LIMITS = Limits(2**32, 60, 60, 2**28)
LIKE = 0.95


async def _probed(ffmpeg: Ffmpeg, file: Path, name: str) -> VideoProbe:
    found = await probe_recording(ffmpeg, file, CONTENT_TYPES[name.rpartition(".")[2]])
    assert isinstance(found, VideoProbe)
    return found


async def _made(ffmpeg: Ffmpeg, file: Path, name: str, graph: str, into: Path, *arguments: str) -> None:
    content_type = CONTENT_TYPES[name.rpartition(".")[2]]
    ran = await ffmpeg.run(
        "ffmpeg",
        [
            *("-nostdin", "-v", "error", "-noautorotate", *source(ffmpeg.settings, content_type, 2**32), "-i", INPUT),
            *("-filter_complex", graph, "-fps_mode", "passthrough", *arguments, f"/output/{into.name}"),
        ],
        file,
        LIMITS,
        output=into.parent,
    )
    assert ran.good, ran.complained


@pytest.mark.parametrize(
    "name",
    ["phone-90.mov", "phone-270.mov", "hdr10.mov", "hlg.mov", "full-range.mp4", "odd.mp4", "dv.avi", "anamorphic.mp4",
     "interlaced.mp4", "uneven.mp4"],
)  # fmt: skip
async def test_a_picture_is_shown_right(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path, name: str) -> None:
    """Every frame of every kind of video: upright, its colours and shape right, none lost, none doubled."""
    recipe, file = videos.VIDEOS[name], file_of(videos.video(name))
    probe = await _probed(ffmpeg, file, name)
    assert (probe.width, probe.height) == recipe.size
    made = tmp_path / "made.mkv"
    size = fitted(probe, 320, 240, even=True)
    await _made(ffmpeg, file, name, f"[0:{probe.index}]{picture(probe, size)}", made, "-c:v", "ffv1")
    seen = seeing.frames(made)
    assert len(seen) == recipe.frames
    assert (seen[0].width, seen[0].height) == (size.width, size.height)
    numbers = [frame.number() for frame in seen]
    assert [seen[at].error() for at in (0, -1)] == [pytest.approx(0, abs=recipe.tolerance)] * 2
    assert numbers == [recipe.number(at) for at in range(recipe.frames)]


async def test_hdr_that_claims_constant_luminance(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """A tag that nobody who writes it means, since HDR has no such thing, is no reason to show nothing."""
    name = "hdr10.mov"
    file = file_of(videos.video(name))
    probe = (await _probed(ffmpeg, file, name)).model_copy(update={"color_space": "bt2020c"})
    made = tmp_path / "made.mkv"
    await _made(ffmpeg, file, name, f"[0:{probe.index}]{picture(probe, Size(320, 180))}", made, "-c:v", "ffv1")
    assert seeing.frames(made)[0].is_right(videos.VIDEOS[name].tolerance)


async def test_smaller_ones_are_made_of_one(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Of an HDR video that lies on its side: the costly part once, a second size from its output, equally right."""
    name = "hdr10.mov"
    file = file_of(videos.turned(videos.video(name), 90))
    probe = (await _probed(ffmpeg, file, name)).model_copy()
    size, small = fitted(probe, 240, 240, even=True), fitted(probe, 120, 120, even=True)
    assert (size, small) == (Size(136, 240), Size(68, 120))
    graph = f"[0:v]{picture(probe, size)},split[large][other];[other]{resized(small)}[small]"
    made = tmp_path / "made.mkv"
    await _made(ffmpeg, file, name, graph, made, "-c:v", "ffv1", "-map", "[large]", "-map", "[small]")
    for stream, expected in (("v:0", size), ("v:1", small)):
        said = seeing.entries(made, "stream=width,height,pix_fmt,color_range,color_space,color_transfer", stream)
        assert (said["width"], said["height"]) == (str(expected.width), str(expected.height))
        assert [said[each] for each in ("pix_fmt", "color_range", "color_space", "color_transfer")] == [
            *("yuv420p", "tv", "bt709", "bt709")
        ]
    # Turned a quarter clockwise, the corner that was bottom left is top left.
    first = seeing.frames(made)[0]
    turned = [videos.CORNERS[at] for at in (2, 0, 3, 1)]
    off = [
        abs(value - other)
        for seen, known in zip(first.corners(), turned, strict=True)
        for value, other in zip(seen, known, strict=True)
    ]
    assert max(off) < videos.VIDEOS[name].tolerance


@pytest.mark.parametrize(("ending", "graph"), [("jpg", for_jpeg()), ("webp", for_webp())])
async def test_stills_have_the_same_colours(
    ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path, ending: str, graph: str
) -> None:
    """JPEG and WebP mean something else by their numbers than video does."""
    name = "h264.mp4"
    file = file_of(videos.video(name))
    probe = await _probed(ffmpeg, file, name)
    made = tmp_path / f"made.{ending}"
    size = fitted(probe, 320, 320, even=False)
    whole = f"[0:v]{picture(probe, size)},{graph}"
    await _made(ffmpeg, file, name, whole, made, "-frames:v", "1", "-q:v", "2" if ending == "jpg" else "90")
    assert seeing.still(made.read_bytes()).error() <= videos.VIDEOS[name].tolerance


@pytest.mark.parametrize(
    ("shown", "box", "even", "expected"),
    [
        ((1920, 1080), (854, 480), True, (854, 480)),
        ((1080, 1920), (854, 480), True, (480, 854)),
        ((320, 180), (1280, 720), True, (320, 180)),
        ((321, 181), (1280, 720), True, (320, 180)),
        ((321, 181), (1280, 720), False, (321, 181)),
        ((1, 1), (1280, 720), True, (2, 2)),
        ((1, 1), (1280, 720), False, (1, 1)),
        ((100_000, 2), (1280, 720), True, (1280, 2)),
        ((7680, 4320), (1280, 720), False, (1280, 720)),
        ((427, 240), (426, 240), True, (426, 240)),
    ],
)
async def test_sizes_keep_the_shape(
    ffmpeg: Ffmpeg,
    file_of: Make,
    shown: tuple[int, int],
    box: tuple[int, int],
    even: bool,
    expected: tuple[int, int],
) -> None:
    """Within the box, lying as the video lies, never larger than it."""
    probe = await _probed(ffmpeg, file_of(videos.video("silent.mp4")), "silent.mp4")
    probe = probe.model_copy(update={"width": shown[0], "height": shown[1]})
    assert fitted(probe, *box, even=even) == Size(*expected)
