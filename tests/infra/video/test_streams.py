"""Streams of what cameras, phones, browsers and editors make: every frame, at its time, on every rung."""

import asyncio
import math
import re
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg
from infra.ffmpeg.recording import Recording
from infra.video.check import StreamBroken, check
from infra.video.chunk import BUFFER_SECONDS
from infra.video.package import FOLDER
from infra.video.playlists import MANIFEST, MASTER
from infra.video.sound import encode_sound
from schemas.plan import SOUND, piece
from tests.infra.video.making import contents, nothing, packaged, planned, small, streamed
from tests.samples import av, seeing, videos

Make = Callable[[bytes], Path]

_LONG = ("-f", "lavfi", "-i", videos.shot(seconds=3.2), "-f", "lavfi", "-i", "sine=frequency=440:duration=3.2")
_CLUSTER = b"\x1f\x43\xb6\x75"
_NTSC = ("-f", "lavfi", "-i", videos.shot(rate="30000/1001", seconds=3.2))
_BT709 = (*videos.BT709, "-vf", videos.yuv())
# Name to FFmpeg's arguments and the numbers of the frames that are to be seen.
MORE: dict[str, tuple[tuple[str, ...], list[int]]] = {
    "ntsc.mp4": ((*_NTSC, *videos.X264, "-bf", "2", *_BT709), list(range(96))),
    "gap.mp4": (
        (
            *(*_LONG, *videos.X264, "-bf", "2", *videos.BT709, "-fps_mode", "vfr", "-c:a", "aac"),
            *("-vf", f"select='lt(t,1)+gt(t,2.42)',{videos.yuv()}"),
        ),
        [*range(25), *range(61, 80)],
    ),
    "open.mkv": (
        (
            *(*_LONG, "-c:v", "libx264", *_BT709, "-c:a", "libopus"),
            *("-x264-params", "open_gop=1:bframes=3:keyint=33:scenecut=0"),
        ),
        list(range(80)),
    ),
    "doubled.mkv": (
        (
            *(*_NTSC, *videos.X264, *videos.BT709, "-fps_mode", "passthrough", "-enc_time_base", "1:1000"),
            *("-vf", f"setpts='if(between(N,20,24),20,N)*33.3667/1000/TB',{videos.yuv()}"),
        ),
        list(range(96)),
    ),
    "h264.avi": ((*_LONG, *videos.X264, "-bf", "2", *_BT709, "-c:a", "pcm_s16le"), list(range(80))),
}


def _edited() -> bytes:
    """An MP4 that was cut without being encoded anew: an edit list leaves its first frames out."""
    with_b_frames = av.made("whole.mp4", *_LONG, *videos.X264, "-bf", "3", "-g", "40", *_BT709, "-c:a", "aac")
    return av.piped_from(with_b_frames, "edited.mp4", "-ss", "0.6", "-i", "{}", "-c", "copy")


async def _is_right(ffmpeg: Ffmpeg, file: Path, name: str, into: Path, numbers: list[int], tolerance: int = 16) -> None:
    """Make a stream, and look at each frame of each rung through the playlists."""
    made = await streamed(ffmpeg, file, name, into)
    assert made.plan.frames == len(numbers)
    for track in made.package.rungs:
        seen = seeing.frames(made.package.folder / track.playlist)
        assert [frame.number() for frame in seen] == numbers
        assert track.rung
        assert (seen[0].width, seen[0].height) == (track.rung.width, track.rung.height)
        assert max(seen[at].error() for at in (0, len(seen) // 2, -1)) <= tolerance


@pytest.mark.parametrize(
    "name",
    [
        *("h264.mp4", "phone-90.mov", "hevc.mov", "hdr10.mov", "vp8.webm", "vp9.webm", "prores.mov", "mpeg4.avi"),
        *("uneven.mp4", "silent.mp4", "late.mp4", "fragmented.mp4", "59.94.mov", "tracks.mkv"),
    ],
)
async def test_a_stream_shows_the_video(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path, name: str) -> None:
    """In two or three chunks: no frame is lost, doubled, moved or discoloured at their borders or elsewhere."""
    recipe = videos.VIDEOS[name]
    numbers = list(range(recipe.frames))
    if name == "uneven.mp4":
        numbers = [number for number in range(50) if number % 5 == 0 or number % 7 < 3]
    await _is_right(ffmpeg, file_of(videos.video(name)), name, tmp_path, numbers, recipe.tolerance + 8)


@pytest.mark.parametrize("name", MORE)
async def test_uneven_times(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path, name: str) -> None:
    """29.97, a gap, open groups of pictures, five frames at one time, frames without any time."""
    arguments, numbers = MORE[name]
    await _is_right(ffmpeg, file_of(av.made(name, *arguments)), name, tmp_path, numbers)


async def test_a_picture_that_is_shown_for_long(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """As in what is recorded of a screen: browsers show it until the next one, and playlists say how long that is."""
    still = ("-vf", f"select='lt(t,3)+gt(t,7.42)',{videos.yuv()}", "-fps_mode", "vfr")
    source = ("-f", "lavfi", "-i", videos.shot(seconds=9), "-f", "lavfi", "-i", "sine=duration=9")
    screen = av.made("screen.mp4", *source, *videos.X264, "-bf", "2", *videos.BT709, *still, "-c:a", "aac")
    made = await streamed(ffmpeg, file_of(screen), "screen.mp4", tmp_path, small(segment_seconds=2))
    assert [track.segments[1].seconds for track in made.package.rungs] == [pytest.approx(7.44 - 2, abs=0.001)] * 2
    manifest = (made.package.folder / MANIFEST).read_text()
    assert manifest.count(f'<S d="{round((7.44 - 2) * made.plan.timescale)}" />') == 2
    assert 'mediaPresentationDuration="PT9.1S"' in manifest
    assert 'maxSegmentDuration="PT5.440000S"' in manifest
    for track in made.package.rungs:
        assert track.seconds == pytest.approx(9, abs=0.001)
        said = seeing.entries(made.package.folder / track.playlist, "stream=has_b_frames")
        assert said["has_b_frames"] == "0"


@pytest.mark.parametrize("name", ["odd.mp4", "anamorphic.mp4", "interlaced.mp4", "single.mp4"])
async def test_shapes(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path, name: str) -> None:
    """Odd sides, pixels that aren't square, fields, one frame alone: `check` finds every frame on every rung."""
    made = await streamed(ffmpeg, file_of(videos.video(name)), name, tmp_path)
    assert made.plan.frames == videos.VIDEOS[name].frames
    assert all(rung.width % 2 == rung.height % 2 == 0 for rung in made.plan.rungs)


async def test_an_edit_list(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """What an edit list leaves out isn't shown, and isn't missed."""
    await _is_right(ffmpeg, file_of(_edited()), "edited.mp4", tmp_path, list(range(15, 80)))


async def test_sound_keeps_its_place(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Sound that begins before the pictures is cut, one that begins later waits: both have one clock."""
    for number, (delay, seconds) in enumerate([("-0.5", 1.5), ("0.5", 2.5)]):
        body = av.piped_from(
            videos.video("h264.mp4"), "moved.mkv", "-i", "{}", "-itsoffset", delay, "-i", "{}", "-map", "0:v",
            "-map", "1:a", "-c", "copy", "-avoid_negative_ts", "make_zero",
        )  # fmt: skip
        folder = tmp_path / f"stream {number}"
        folder.mkdir()
        made = await streamed(ffmpeg, file_of(body), "moved.mkv", folder)
        assert made.package.sound
        assert made.package.sound.seconds == pytest.approx(seconds, abs=0.05)


async def test_sound_of_another_length(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Sound that goes on after the last frame is kept whole, in pieces of a segment's length."""
    made = await streamed(ffmpeg, file_of(videos.video("long-sound.mp4")), "long-sound.mp4", tmp_path)
    assert made.package.sound
    assert made.package.sound.seconds == pytest.approx(3, abs=0.05)
    assert len(made.package.sound.segments) == 4
    assert made.sound
    assert made.sound.loudness


async def test_sound_is_brought_to_a_loudness(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """By profile it is as loud as wished for; how loud the original was is told all the same."""
    quiet = await streamed(ffmpeg, file_of(videos.video("h264.mp4")), "h264.mp4", tmp_path)
    loud = await streamed(ffmpeg, file_of(videos.video("h264.mp4")), "h264.mp4", tmp_path, small(loudness_lufs=-14))
    assert quiet.sound
    assert loud.sound
    assert quiet.sound.loudness
    assert loud.sound.loudness == quiet.sound.loudness
    assert (quiet.sound.normalized, loud.sound.normalized) == (False, True)
    assert await asyncio.to_thread(_loudness, tmp_path / SOUND) == pytest.approx(-14, abs=1)


def _loudness(file: Path) -> float:
    """What FFmpeg's own meter says, in LUFS."""
    meter = ("-v", "info", "-nostats", "-i", str(file), "-af", "ebur128=dualmono=true", "-f", "null", "-")
    said = subprocess.run(["ffmpeg", *meter], capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"I:\s+(-[0-9.]+) LUFS", said)[-1])


async def test_rates_are_the_profiles(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Of noise no rung takes more than it may beside what a player has buffered; poor quality takes less."""
    noise = f"{videos.shot(seconds=4)},noise=alls=80:allf=t"
    file = file_of(av.made("noise.mp4", "-f", "lavfi", "-i", noise, *videos.X264, *_BT709))
    used: dict[int | None, list[float]] = {}
    for crf in (1, 51, None):
        folder = tmp_path / f"{crf}"
        folder.mkdir()
        profile = small(crf=crf, preset="ultrafast", chunk_seconds=60)
        made = await streamed(ffmpeg, file, "noise.mp4", folder, profile)
        used[crf] = [track.average / track.rung.bit_rate for track in made.package.rungs if track.rung]
    seconds = 4
    assert max(used[1]) <= (seconds + BUFFER_SECONDS) / seconds
    assert max(used[51]) < 0.2
    assert all(0.7 < share <= (seconds + BUFFER_SECONDS) / seconds for share in used[None])


async def test_what_is_announced_first_stays_as_it_is(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Packaged alone and with the others, the first size and the sound are the same bytes under the same names."""
    first = await streamed(ffmpeg, file_of(videos.video("h264.mp4")), "h264.mp4", tmp_path, rungs=1)
    before = contents(first.package.folder)
    whole = await packaged(ffmpeg, first.plan, first.cutting, first.sound, tmp_path)
    after = contents(whole.folder)
    assert {name for name in before if before[name] != after[name]} == {MASTER, MANIFEST}
    assert len(whole.tracks) == 3


async def test_twice_is_once(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """The same video makes the same bytes, whenever it is packaged."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    file = file_of(videos.video("phone-90.mov"))
    one = await streamed(ffmpeg, file, "phone-90.mov", tmp_path / "a")
    other = await streamed(ffmpeg, file, "phone-90.mov", tmp_path / "b")
    assert one.plan == other.plan
    assert contents(one.package.folder) == contents(other.package.folder)


async def test_players_are_told_what_they_need(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """The master playlist names the peak of each rung with the sound's; playlists name no time of day."""
    made = await streamed(ffmpeg, file_of(videos.video("h264.mp4")), "h264.mp4", tmp_path)
    master = (made.package.folder / MASTER).read_text()
    sound = made.package.sound
    assert sound
    for track in made.package.rungs:
        assert f"BANDWIDTH={track.peak + sound.peak},AVERAGE-BANDWIDTH={track.average + sound.average}" in master
        assert track.peak >= track.average
        text = (made.package.folder / track.playlist).read_text()
        assert "DATE-TIME" not in text
        longest = max(segment.seconds for segment in track.segments)
        assert f"#EXT-X-TARGETDURATION:{max(1, math.floor(longest + 0.5))}\n" in text
    assert "FRAME-RATE=25.000" in master
    assert 'frameRate="25/1"' in (made.package.folder / MANIFEST).read_text()
    assert "avc1." in master
    assert "mp4a.40.2" in master


async def test_what_is_lost_is_found(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """A stream of which a piece, a segment or the sound's end is missing is never announced."""
    made = await streamed(ffmpeg, file_of(videos.video("h264.mp4")), "h264.mp4", tmp_path)
    segment = made.package.folder / made.package.rungs[1].segments[0].name
    kept = segment.read_bytes()
    segment.unlink()
    with pytest.raises(StreamBroken):
        await check(ffmpeg, made.plan, made.sound, made.package)
    segment.write_bytes(kept)
    assert made.sound
    with pytest.raises(StreamBroken, match="the sound has"):
        await check(ffmpeg, made.plan, made.sound.model_copy(update={"packets": made.sound.packets + 1}), made.package)
    await check(ffmpeg, made.plan, made.sound, made.package)
    (tmp_path / piece(1, "180p")).write_bytes((tmp_path / piece(0, "180p")).read_bytes()[:-2000])
    with pytest.raises(Exception, match=r"frames|Packaging|piece|read|track|Invalid"):
        await packaged(ffmpeg, made.plan, made.cutting, made.sound, tmp_path)
    assert (tmp_path / FOLDER).exists()
    assert (tmp_path / SOUND).exists()


async def test_sound_that_ends_early_is_refused(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Where less of it can be decoded than its packets announce, by more than a lost packet, nothing is streamed."""
    file = file_of(videos.video("h264.mp4"))
    probe, plan, _ = await planned(ffmpeg, file, "h264.mp4", small())
    assert plan.sound
    recording = Recording(file, "video/mp4", probe.audio[0], probe.duration_seconds)
    for more, refused in ((0.0, False), (0.5, True), (-0.5, True)):
        sound = plan.sound.model_copy(update={"seconds": plan.sound.seconds + more})
        wanted = plan.model_copy(update={"sound": sound})
        with pytest.raises(DecodeRejected, match="sound are announced") if refused else nullcontext():
            await encode_sound(ffmpeg, recording, wanted, tmp_path, on_seconds=nothing)


@pytest.mark.parametrize(
    ("name", "coding", "damage"),
    [
        ("lost.mkv", "libopus", "noise=drop='between(n,40,42)'"),
        ("slow.mkv", "libopus", "setts=ts=TS*1.035"),
        ("fast.mkv", "libopus", "setts=ts=TS*0.965"),
        ("damaged.mp4", "aac", "noise=amount='between(n,40,43)*3'"),
    ],
)
async def test_sound_that_lost_a_moment_is_streamed(
    ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path, name: str, coding: str, damage: str
) -> None:
    """A few packets that never came or can't be decoded, as in a recorded call, or a clock that drifts: it plays."""
    tone = ("-f", "lavfi", "-i", "sine=duration=2")
    whole = av.made(name, "-f", "lavfi", "-i", videos.shot(), *tone, *videos.X264, *_BT709, "-c:a", coding)
    file = file_of(av.piped_from(whole, name, "-i", "{}", "-c", "copy", "-bsf:a", damage))
    made = await streamed(ffmpeg, file, name, tmp_path)
    assert made.plan.frames == 50
    assert made.package.sound
    assert made.package.sound.seconds == pytest.approx(2, abs=0.15)


async def test_pictures_that_are_lost(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Damaged ones, at a chunk's beginning and the video's end too: the one before is shown for longer, none moves."""
    good = av.made("lost.avi", *_LONG, "-c:v", "mjpeg", "-q:v", "2", *_BT709, "-c:a", "pcm_s16le")
    made = await streamed(ffmpeg, file_of(av.with_blank_packets(good, 25, 40, 41, 79)), "lost.avi", tmp_path)
    assert (made.plan.frames, made.lost) == (80, 4)
    # The second chunk begins with the picture after the one that is lost.
    times = [number for number in range(79) if number not in {26, 40, 41}]
    for track in made.package.rungs:
        playlist = made.package.folder / track.playlist
        shown = [frame.number() for frame in seeing.frames(playlist)]
        assert shown == [number for number in range(79) if number not in {25, 40, 41}]
        assert [round(25 * seconds) for seconds in seeing.moments(playlist)] == times
    with pytest.raises(StreamBroken, match="76 frames"):
        await check(ffmpeg, made.plan, made.sound, made.package, lost=3)


@pytest.mark.parametrize("numbers", [(49,), (12, 13), (25, 26, 27)])
@pytest.mark.parametrize("name", ["hevc.mov", "prores.mov", "h264.mp4"])
async def test_damaged_pictures_are_left_out(
    ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path, name: str, numbers: tuple[int, ...]
) -> None:
    """Whatever it is coded in, a video that lost a picture or two is a stream of all others."""
    damaged = av.with_blank_packets(videos.video(name), *numbers)
    made = await streamed(ffmpeg, file_of(damaged), name, tmp_path)
    assert made.lost + made.package.rungs[0].seconds * 25 == pytest.approx(50, abs=1 + len(numbers))
    assert made.lost <= len(numbers)


async def test_damaged_frames_are_refused(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """A video whose container is whole and whose frames are noise is refused with a code, not streamed in part."""
    body = bytearray(videos.video("h264.mp4"))
    # Behind the index that `mdat` follows here, a third into the pictures.
    at = body.index(b"mdat") + 4 + 8000
    body[at : at + 12000] = b"\xff" * 12000
    with pytest.raises(DecodeRejected) as refused:
        await streamed(ffmpeg, file_of(bytes(body)), "h264.mp4", tmp_path)
    assert refused.value.code in {"corrupt_frames", "corrupt", "truncated"}


async def test_a_clock_that_begins_anew(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Two recordings in one file, each from 0: nobody knows when their pictures are shown, and that is said."""
    whole = av.made("whole.mkv", *_LONG, "-c:v", "mpeg4", "-g", "300", "-cluster_time_limit", "800", *_BT709)
    at = whole.index(_CLUSTER, whole.index(_CLUSTER, whole.index(_CLUSTER) + 1) + 1)
    clock = whole.index(b"\xe7\x82", at)
    assert clock < at + 16
    again = whole[: clock + 2] + b"\0\0" + whole[clock + 4 :]
    with pytest.raises(DecodeRejected, match=r"corrupt.*go back"):
        await streamed(ffmpeg, file_of(again), "again.mkv", tmp_path)


_EARLY = ("-output_ts_offset", "-0.3", "-avoid_negative_ts", "disabled")


async def test_a_clock_that_begins_before_zero(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Matroska can count from before zero, where its pictures keep their times, and each is found."""
    early = av.made("early.mkv", *_LONG[:4], "-c:v", "libvpx", "-b:v", "1M", *_BT709, *_EARLY)
    await _is_right(ffmpeg, file_of(early), "early.mkv", tmp_path, list(range(80)))


async def test_times_that_are_lost_before_zero(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """FFmpeg knows no such times of H.264: nobody knows when those pictures are shown, and that is said."""
    early = av.made("early.mkv", *_LONG[:4], *videos.X264, *_BT709, *_EARLY)
    with pytest.raises(DecodeRejected, match=r"corrupt.*have no times"):
        await streamed(ffmpeg, file_of(early), "early.mkv", tmp_path)


async def test_a_packet_without_a_picture(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """Some encoders say in a packet of its own that the sequence ends: nothing is missing then."""
    whole = av.made("whole.mp4", *_LONG[:4], *videos.X264, "-bf", "0", *_BT709)
    size, at = _last_packet(whole, tmp_path / "whole.mp4")
    sizes = whole.index(b"stsz") + 16 + 4 * 79
    assert int.from_bytes(whole[sizes : sizes + 4]) == size
    ended = bytearray(whole)
    ended[sizes : sizes + 4] = (5).to_bytes(4)
    ended[at : at + 5] = b"\0\0\0\1\x0b"
    await _is_right(ffmpeg, file_of(bytes(ended)), "ended.mp4", tmp_path, list(range(79)))


def _last_packet(body: bytes, file: Path) -> tuple[int, int]:
    """Its size, and where it lies."""
    file.write_bytes(body)
    asked = ["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", file]
    size, at = (int(number) for number in subprocess.check_output(asked).split()[-1].split(b","))
    return size, at
