"""Videos as cameras, phones, browsers and editors make them, from upload to `ready`: all that is made is right."""

import re
from collections.abc import AsyncGenerator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from schemas.objects import ObjectRef
from schemas.profiles import RungProfile, VideoProfile
from schemas.types import TYPES
from tests.samples import seeing, videos
from tests.samples.av import RECORDINGS
from tests.samples.videos import PERSON, PLACE, VIDEOS
from tests.system import System, provisioned, working

CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}
EVERYTHING = VideoProfile(
    poster="required",
    storyboard="required",
    progressive="required",
    storyboard_seconds=0.5,
    playable="120p",
    preset="ultrafast",
    progressive_preset="ultrafast",
    rungs=(
        RungProfile(name="120p", longer=214, shorter=120, bit_rate=400_000),
        RungProfile(name="180p", longer=320, shorter=180, bit_rate=1_000_000),
    ),
)
PATIENCE = 300.0
LIKE = 0.9
SHORT = {"single.mp4", "dv.avi"}  # than a second: no storyboard is promised
# What a codec for telephones of its day keeps, what a tone curve leaves, and sharp squares made small.
LESS_LIKE = {
    **dict.fromkeys(("h263.3gp", "hdr10.mov", "hlg.mov", "vp9-hdr.webm", "interlaced.mp4"), 0.8),
    **dict.fromkeys(("browser.mp4", "browser.webm", "screen.webm"), 0.8),
}
RECORDED = [
    RECORDINGS / name
    for name in ("phone.mp4", "small.3gp", "small.mov", "small.webm", "browser.mp4", "browser.webm", "screen.webm")
]
GROUPS = {
    "phones": [
        *("phone-90.mov", "phone-180.mov", "phone-270.mov", "hevc.mov", "hdr10.mov", "hlg.mov", "h263.3gp"),
        *("uneven.mp4", "late.mp4", "late-sound.mkv"),
    ],
    "browsers": ["vp8.webm", "vp9.webm", "vp9-hdr.webm", "av1.webm", "fragmented.mp4", "odd.webm", "silent.mp4"],
    "cameras": [
        *("prores.mov", "mjpeg.avi", "mpeg4.avi", "dv.avi", "anamorphic.mp4", "interlaced.mp4", "50.mp4", "59.94.mov"),
        "full-range.mp4",
    ],
    "editors": [
        *("h264.mp4", "untagged.mp4", "untagged-hd.mp4", "odd.mp4", "single.mp4", "long-sound.mp4", "b-frames.mkv"),
        *("tracks.mkv", "cover.mp4"),
    ],
}


def test_all_are_tried() -> None:
    """Each recipe is in one of the groups."""
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(VIDEOS)


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack, video=EVERYTHING) as provided:
        yield provided


@pytest.mark.parametrize("group", GROUPS)
async def test_everything_made_of_them_is_right(system: System, group: str, tmp_path: Path) -> None:
    """Frame by frame: none lost, each at its time, right side up, in its colours, like the source, nothing told."""
    async with working(system, video=EVERYTHING):
        made = {
            name: await system.upload(videos.video(name), CONTENT_TYPES[name.rpartition(".")[2]])
            for name in GROUPS[group]
        }
        for name, media_id in made.items():
            ended = await system.ended(media_id, PATIENCE)
            assert event_name(ended) == "ready", (name, ended["data"].get("error"), ended["data"].get("reason"))
    for name, media_id in made.items():
        folder = tmp_path / name
        await _fetched(system, media_id, folder)
        source = tmp_path / f"source-{name}"
        source.write_bytes(videos.video(name))
        starts = seeing.moments(source)
        assert len(starts) == VIDEOS[name].frames
        _require_nothing_told(name, folder)
        _require_poster(name, folder, starts)
        _require_storyboard(name, folder, starts)
        _require_progressive(name, folder, starts)
        _require_stream(name, folder)


async def test_what_others_recorded(system: System, tmp_path: Path) -> None:
    """Every frame of a telephone's video and of what others' programs made, and each like its original."""
    async with working(system, video=EVERYTHING):
        made = {path: await system.upload(path.read_bytes(), CONTENT_TYPES[path.suffix[1:]]) for path in RECORDED}
        for path, media_id in made.items():
            ended = await system.ended(media_id, PATIENCE)
            assert event_name(ended) == "ready", (path.name, ended["data"].get("error"), ended["data"].get("reason"))
    for path, media_id in made.items():
        folder = tmp_path / path.name
        await _fetched(system, media_id, folder)
        starts = seeing.moments(path)
        moments = seeing.moments(folder / "progressive.mp4")
        assert [at - moments[0] for at in moments] == pytest.approx([at - starts[0] for at in starts], abs=0.002)
        assert seeing.likeness_to(folder / "progressive.mp4", path) >= LESS_LIKE.get(path.name, LIKE)
        for playlist in ("media_0.m3u8", "media_2.m3u8"):
            assert len(seeing.moments(folder / "stream" / playlist)) == len(starts), (path.name, playlist)
            likeness = seeing.likeness_to(folder / "stream" / playlist, path)
            assert likeness >= LESS_LIKE.get(path.name, LIKE), (path.name, playlist)
        assert (folder / "poster.jpg").stat().st_size > 1000
        assert (folder / "stream" / "media_1.m3u8").exists() == bool(seeing.entries(path, "stream=index", "a:0"))


async def _fetched(system: System, media_id: str, folder: Path) -> None:
    """Every object that was made of a video, as files."""
    prefix = f"permanent/{media_id}/"
    keys = [key for key in await system.keys(media_id) if not key.startswith("records/")]
    assert all(key.startswith(prefix) for key in keys), keys
    for key in keys:
        name = key.removeprefix(prefix)
        if not name.startswith("original."):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(await system.objects.get(ObjectRef(bucket=system.objects.bucket, key=key, size=0)))


def _require_nothing_told(name: str, folder: Path) -> None:
    """Neither place nor person nor day is in any byte of any object, and containers have no tags of anybody's."""
    if VIDEOS[name].tags:
        assert PERSON.encode() in videos.video(name), name
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for word in (PLACE, PLACE.split("+")[1], PERSON, PERSON.split()[0], "2019-05-04"):
                assert word.encode() not in content, (name, path.name, word)
            assert b"\xa9xyz" not in content, (name, path.name)


def _require_poster(name: str, folder: Path, starts: list[float]) -> None:
    """The frame that is on screen at one second; of what is shorter, about the middle."""
    recipe = VIDEOS[name]
    for path in (folder / "poster.jpg", folder / "poster.webp"):
        content = path.read_bytes()
        frame = seeing.still(content)
        assert (frame.width, frame.height) == recipe.size, (name, path.name)
        assert frame.error() <= recipe.tolerance, (name, path.name, frame.corners())
        moments = seeing.on_screen(starts, 1.0) if starts[-1] >= 1 else range(recipe.frames)
        wanted = {recipe.number(at) for at in moments}
        assert frame.number() in wanted, (name, path.name, frame.number(), wanted)
        with Image.open(BytesIO(content)) as image:
            assert not image.getexif()
            assert not {"comment", "icc_profile", "xmp", "exif"} & set(image.info), (name, image.info)


def _require_storyboard(name: str, folder: Path, starts: list[float]) -> None:
    """Each cue's tile shows what is on screen when the cue begins."""
    recipe = VIDEOS[name]
    if name in SHORT:
        assert not (folder / "storyboard.vtt").exists()
        return
    cues = seeing.cues((folder / "storyboard.vtt").read_text())
    assert cues[0].start == 0
    assert all(earlier.end == later.start for earlier, later in pairwise(cues))
    for cue in cues:
        tile = seeing.part((folder / cue.sheet).read_bytes(), *cue.place)
        wanted = {recipe.number(at) for at in seeing.on_screen(starts, cue.start)}
        assert tile.number() in wanted, (name, cue, tile.number(), wanted)
        assert tile.error() <= recipe.tolerance + 6, (name, cue, tile.corners())


def _require_progressive(name: str, folder: Path, starts: list[float]) -> None:
    """It begins to play with its first bytes, and has every frame at its time."""
    recipe, path = VIDEOS[name], folder / "progressive.mp4"
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat"), name
    said = seeing.entries(
        path, "stream=codec_name,pix_fmt,color_space,color_transfer,color_range:stream_tags:format_tags"
    )
    assert [said[each] for each in ("codec_name", "pix_fmt", "color_space", "color_transfer", "color_range")] == [
        *("h264", "yuv420p", "bt709", "bt709", "tv")
    ], (name, said)
    assert not {key for key in said if "location" in key or "creation" in key or "comment" in key or "title" in key}
    assert said.get("TAG:handler_name", "VideoHandler") == "VideoHandler"
    _require_frames(name, seeing.frames(path))
    made = seeing.moments(path)
    assert [later - made[0] for later in made] == pytest.approx([later - starts[0] for later in starts], abs=0.002)
    assert bool(seeing.entries(path, "stream=codec_name", "a:0")) == (recipe.sound is not None), name
    assert seeing.likeness(path, name) >= LESS_LIKE.get(name, LIKE), name


def _require_stream(name: str, folder: Path) -> None:
    """HLS and DASH play, and each rung has every frame."""
    masters = list(folder.rglob("master.m3u8"))
    assert len(masters) == 1, name
    playlists = re.findall(r"^(?!#)(\S+\.m3u8)$", masters[0].read_text(), re.MULTILINE)
    assert len(playlists) == (1 if min(VIDEOS[name].size) <= 144 else 2), (name, playlists)
    for playlist in playlists:
        _require_frames(name, seeing.frames(masters[0].parent / playlist))
    assert len(seeing.frames(masters[0])) == VIDEOS[name].frames
    (manifest,) = folder.rglob("*.mpd")
    assert len(seeing.frames(manifest)) == VIDEOS[name].frames


def _require_frames(name: str, seen: list[seeing.Frame]) -> None:
    recipe = VIDEOS[name]
    assert len(seen) == recipe.frames, (name, len(seen))
    assert [frame.number() for frame in seen] == [recipe.number(at) for at in range(recipe.frames)], name
    off = [seen[at].error() for at in (0, len(seen) // 2, -1)]
    assert max(off) <= recipe.tolerance, (name, off)
    shape = seen[0].width / seen[0].height
    assert shape == pytest.approx(recipe.size[0] / recipe.size[1], rel=0.03), (name, shape)
