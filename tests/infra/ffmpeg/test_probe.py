"""What FFprobe says of recordings: good ones are described, all else is refused with a code."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, probe_recording
from infra.ffmpeg.sources import DECODERS, NEVER_DECODED, listed, source
from infra.settings import Settings
from schemas.probe_av import AudioProbe, VideoProbe
from schemas.types import TYPES
from tests.samples import av

Make = Callable[[bytes], Path]

CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}


def _type(name: str) -> str:
    return CONTENT_TYPES[name.rpartition(".")[2]]


async def _code(ffmpeg: Ffmpeg, file: Path, content_type: str) -> str:
    with pytest.raises(DecodeRejected) as rejected:
        await probe_recording(ffmpeg, file, content_type)
    return rejected.value.code


async def _video(ffmpeg: Ffmpeg, file: Path, content_type: str = "video/mp4") -> VideoProbe:
    found = await probe_recording(ffmpeg, file, content_type)
    assert isinstance(found, VideoProbe)
    return found


@pytest.mark.parametrize(
    ("name", "codec", "sound", "depth"),
    [
        ("plain.mp4", "h264", "aac", 8),
        ("fragmented.mp4", "h264", "aac", 8),
        ("hevc.mov", "hevc", "pcm_s16le", 8),
        ("plain.3gp", "mpeg4", "aac", 8),
        ("vp8.webm", "vp8", "vorbis", 8),
        ("vp9.webm", "vp9", "opus", 8),
        ("av1.webm", "av1", "opus", 8),
        ("live.webm", "vp8", "opus", 8),
        ("plain.mkv", "h264", "flac", 8),
        ("plain.avi", "mpeg4", "mp3", 8),
    ],
)
async def test_a_good_video_is_described(
    ffmpeg: Ffmpeg, file_of: Make, name: str, codec: str, sound: str, depth: int
) -> None:
    """Container, codecs, size, rate and length come out of a whole file of every kind."""
    found = await _video(ffmpeg, file_of(av.media(name)), _type(name))
    assert (found.container, found.codec, found.audio[0].codec) == (name.rpartition(".")[2], codec, sound)
    assert (found.width, found.height, found.coded_width, found.coded_height, found.rotation) == (192, 108, 192, 108, 0)
    assert found.base_frame_rate == "25/1"
    assert found.average_frame_rate
    assert abs(Fraction(found.average_frame_rate) - 25) < 1
    assert found.duration_seconds == pytest.approx(1, abs=0.06)
    assert (found.bit_depth, found.hdr, found.interlaced, found.variable_frame_rate) == (depth, "none", False, False)
    assert (found.audio[0].channels, found.audio_streams, found.subtitle_streams) == (1, 1, 0)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("plain.mp3", "mp3"), ("bare.mp3", "mp3"), ("plain.m4a", "aac"), ("plain.aac", "aac"), ("plain.flac", "flac"),
     ("vorbis.ogg", "vorbis"), ("opus.ogg", "opus"), ("plain.wav", "pcm_s16le"), ("plain.weba", "opus")],
)  # fmt: skip
async def test_good_audio_is_described(ffmpeg: Ffmpeg, file_of: Make, name: str, codec: str) -> None:
    """Codec, channels, sample rate and length."""
    found = await probe_recording(ffmpeg, file_of(av.media(name)), _type(name))
    assert isinstance(found, AudioProbe)
    (stream,) = found.audio
    assert (stream.codec, stream.channels, stream.sample_rate) in {(codec, 1, 44100), (codec, 1, 48000)}
    assert found.duration_seconds == pytest.approx(1, abs=0.06)
    assert not found.cover


async def test_a_rich_video_is_described(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """10 bits of HDR, square pixels made of oblong ones, languages, subtitles and chapters."""
    (tmp_path / "subtitles.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    (tmp_path / "chapters").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=a|b\\=c\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=second\n"
    )
    rich = av.made(
        "rich.mkv",
        *("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=30000/1001:duration=1"),
        *("-f", "lavfi", "-i", "anullsrc=channel_layout=5.1:sample_rate=48000:duration=1"),
        *("-i", str(tmp_path / "subtitles.srt"), "-i", str(tmp_path / "chapters"), "-map", "0", "-map", "1"),
        *("-map", "2", "-map_metadata", "3", "-metadata:s:a:0", "language=ger", "-metadata:s:s:0", "language=fre"),
        *("-vf", "setsar=4/3", "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-color_range", "tv"),
        *("-x265-params", "log-level=none", "-color_primaries", "bt2020", "-color_trc", "smpte2084"),
        *("-colorspace", "bt2020nc", "-c:a", "ac3", "-c:s", "srt"),
    )
    found = await _video(ffmpeg, file_of(rich), "video/x-matroska")
    assert (found.width, found.height, found.coded_width, found.coded_height) == (213, 120, 160, 120)
    assert (found.average_frame_rate, found.variable_frame_rate) == ("30000/1001", False)
    assert (found.codec, found.profile, found.pixel_format, found.bit_depth) == ("hevc", "Main 10", "yuv420p10le", 10)
    assert (found.color_primaries, found.color_transfer, found.color_space) == ("bt2020", "smpte2084", "bt2020nc")
    assert (found.color_range, found.hdr) == ("tv", "hdr10")
    assert (found.audio[0].channels, found.audio[0].layout, found.audio[0].language) == (6, "5.1(side)", "ger")
    assert (found.subtitles[0].codec, found.subtitles[0].language, found.subtitle_streams) == ("subrip", "fre", 1)
    assert [(each.start_seconds, each.end_seconds) for each in found.chapters] == [(0, 0.4), (0.4, 1)]
    assert found.chapter_count == 2


async def test_captions_as_television_has_them(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """A film that an editor exported with a track of closed captions is let in: nobody needs to decode those."""
    (tmp_path / "captions.scc").write_text(
        "Scenarist_SCC V1.0\n\n00:00:00:00\t9420 9420 94ae 94ae 9470 9470 c8e5 ecec ef80 942f 942f\n\n"
        "00:00:00:20\t942c 942c\n"
    )
    film = av.made(
        "captions.mov",
        *("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1", "-i", str(tmp_path / "captions.scc")),
        *("-map", "0", "-map", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:s", "copy"),
    )
    found = await _video(ffmpeg, file_of(film), "video/quicktime")
    assert [track.codec for track in found.subtitles] == ["eia_608"]


async def test_rotation_swaps_the_sides(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """A phone held upright stores the picture lying on its side: by the matrix that turns it a quarter clockwise."""
    upright = bytearray(av.media("silent.mp4"))
    header = upright.index(b"tkhd") + 4 + 40
    matrix = (0, 0x10000, 0, -0x10000, 0, 0, 108 * 0x10000, 0, 0x40000000)
    upright[header : header + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in matrix)
    found = await _video(ffmpeg, file_of(bytes(upright)))
    assert (found.rotation, found.width, found.height, found.coded_width) == (90, 108, 192, 192)


async def test_variable_frame_rate_is_seen(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """Frames that follow each other unevenly, as a phone in the dark makes them; B-frames are no such thing."""
    source = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=30:duration=6")
    uneven = (*source, "-vf", "select='not(mod(n,5))+lt(mod(n,7),3)'", "-fps_mode", "vfr", "-c:v", "libx264")
    assert (await _video(ffmpeg, file_of(av.made("uneven.mp4", *uneven)))).variable_frame_rate
    even = (*source, "-c:v", "libx264", "-bf", "3")
    for name in ("even.mp4", "even.mkv"):
        found = await _video(ffmpeg, file_of(av.made(name, *even)), _type(name))
        assert not found.variable_frame_rate


async def test_a_long_recording_is_described(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """More packets than are kept: their ends are enough for length and rate."""
    long = av.made(
        "long.mkv", "-f", "lavfi", "-i", "color=size=16x16:rate=60:duration=700", "-c:v", "mpeg4", "-bf", "2"
    )
    found = await _video(ffmpeg, file_of(long), "video/x-matroska")
    assert (found.duration_seconds, found.variable_frame_rate) == (pytest.approx(700, abs=0.1), False)


async def test_a_cover_is_no_video(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """Music with a picture attached is music, and no video."""
    covered = av.made(
        "covered.m4a",
        *("-f", "lavfi", "-i", "sine=duration=1", "-f", "lavfi", "-i", "color=size=32x32:duration=0.04"),
        *("-map", "0", "-map", "1", "-c:v", "png", "-disposition:v", "attached_pic"),
    )
    found = await probe_recording(ffmpeg, file_of(covered), "audio/mp4")
    assert isinstance(found, AudioProbe)
    assert found.cover
    assert await _code(ffmpeg, file_of(covered), "video/mp4") == "type_mismatch"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("plain.m4a", "video/mp4"), ("plain.weba", "video/webm"), ("plain.mp4", "audio/mp4"), ("vp8.webm", "audio/webm")],
)
async def test_what_is_no_video_or_no_audio_is_said(
    ffmpeg: Ffmpeg, file_of: Make, name: str, content_type: str
) -> None:
    """Where the container alone can't tell, the streams do."""
    assert await _code(ffmpeg, file_of(av.media(name)), content_type) == "type_mismatch"


@pytest.mark.parametrize("name", [name for name in av.NAMES if name != "bare.mp3"])
async def test_a_recording_cut_short_is_refused(ffmpeg: Ffmpeg, file_of: Make, name: str) -> None:
    """Wherever the upload stopped: the header may be whole. Only an MP3 without a header has no length to lack."""
    whole = av.media(name)
    for keep in (0.1, 0.6):
        code = await _code(ffmpeg, file_of(whole[: int(len(whole) * keep)]), _type(name))
        assert code in {"truncated", "corrupt"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("wav", ("-f", "lavfi", "-i", "sine=duration=1", "-f", "wav")),
        ("avi", ("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=1", "-c:v", "mpeg4", "-f", "avi")),
        ("mkv", ("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=1", "-c:v", "libx264", "-f", "matroska")),
    ],
)
async def test_what_was_written_into_a_pipe_is_fine(
    ffmpeg: Ffmpeg, file_of: Make, name: str, arguments: tuple[str, ...]
) -> None:
    """Its header could not know its length: what is there is measured."""
    found = await probe_recording(ffmpeg, file_of(av.piped(*arguments)), CONTENT_TYPES[name])
    assert found.duration_seconds == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("content", [b"", b"\0", b"x" * 10_000], ids=["nothing", "one byte", "letters"])
@pytest.mark.parametrize("content_type", ["video/mp4", "video/webm", "audio/mpeg", "audio/ogg", "audio/wav"])
async def test_what_is_no_recording_is_refused(
    ffmpeg: Ffmpeg, file_of: Make, content: bytes, content_type: str
) -> None:
    """Nothing comes of nothing."""
    assert await _code(ffmpeg, file_of(content), content_type) in {"truncated", "corrupt", "unsupported_codec"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_video_pixels": 192 * 108 - 1}, "too_many_pixels"),
        ({"max_duration_seconds": 0.9}, "too_long"),
        ({"max_streams": 1}, "too_many_streams"),
    ],
)
async def test_budgets(file_of: Make, changes: dict[str, Any], code: str) -> None:
    """Pixels, length and tracks have a limit each, which the file may just reach."""
    file = file_of(av.media("plain.mp4"))
    assert await _code(Ffmpeg(Settings(**changes)), file, "video/mp4") == code
    enough = Settings(max_video_pixels=192 * 108, max_duration_seconds=1.0, max_streams=2)
    assert (await _video(Ffmpeg(enough), file)).codec == "h264"


async def test_a_rare_codec_is_refused(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """A codec that no camera writes is not even tried."""
    rare = av.made("rare.avi", "-f", "lavfi", "-i", "testsrc2=size=64x64:duration=0.2", "-c:v", "cinepak")
    assert await _code(ffmpeg, file_of(rare), "video/x-msvideo") == "unsupported_codec"


async def test_a_track_that_nobody_decodes_may_be_rare(ffmpeg: Ffmpeg, file_of: Make, tmp_path: Path) -> None:
    """A cover in TIFF, a second sound track in WMA or DTS: what is used can be decoded, and comes first."""
    cover = tmp_path / "cover.tiff"
    cover.write_bytes(av.made("cover.tiff", "-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1"))
    tone = ("-f", "lavfi", "-i", "sine=duration=1")
    song = av.made("song.mp3", *tone, "-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy")
    found = await probe_recording(ffmpeg, file_of(song), "audio/mpeg")
    assert isinstance(found, AudioProbe)
    assert (found.cover, found.audio[0].codec) == (True, "mp3")

    film = ("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=1", *tone, "-map", "0", "-map", "1", "-map", "1")
    second = av.made("wma.avi", *film, "-c:v", "mpeg4", "-ac", "2", "-c:a:0", "libmp3lame", "-c:a:1", "wmav2")
    video = await _video(ffmpeg, file_of(second), "video/x-msvideo")
    assert [(each.index, each.codec) for each in video.audio] == [(1, "mp3"), (2, "wmav2")]
    first = av.made("dts.mkv", *film, "-c:v", "mpeg4", "-ac", "2", "-strict", "-2", "-c:a:0", "dca", "-c:a:1", "aac")
    video = await _video(ffmpeg, file_of(first), "video/x-matroska")
    assert [(each.index, each.codec) for each in video.audio] == [(2, "aac"), (1, "dts")]


@pytest.mark.parametrize(("defaults", "used"), [("01", 1), ("10", 0), ("11", 0), ("00", 0)])
async def test_the_default_track_is_used(ffmpeg: Ffmpeg, file_of: Make, defaults: str, used: int) -> None:
    """Of several tracks that which players begin with, where the file names one: of pictures and of sound alike."""
    pictures, tone = ("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=0.4"), ("-f", "lavfi", "-i", "sine=duration=1")
    flags = [
        part
        for number, flag in enumerate(defaults)
        for kind in "va"
        for part in (f"-disposition:{kind}:{number}", "default" if flag == "1" else "none")
    ]
    tracks = ("-map", "0", "-map", "0", "-map", "1", "-map", "1", "-c:v", "mpeg4", "-c:a", "libopus", *flags)
    film = av.made("tracks.mkv", *pictures, *tone, *tracks)
    found = await _video(ffmpeg, file_of(film), "video/x-matroska")
    assert (found.index, [each.index for each in found.audio]) == (used, [2 + used, 3 - used])


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("rare.avi", ("-map", "0", "-c:v", "cinepak"), "track 0 (pictures) has a rare codec"),
        ("two.mkv", ("-map", "0", "-map", "1", "-c:v", "mpeg4", "-c:a", "wavpack"), "track 1 (sound) has a rare codec"),
        ("dts.mkv", ("-map", "0", "-map", "1", "-c:v", "mpeg4", "-c:a", "dca"), "track 1 (sound) has a rare codec"),
        ("tiff.mov", ("-map", "0", "-c:v", "tiff"), "track 0 (pictures) has a rare codec"),
    ],
)
async def test_a_refusal_names_the_track(
    ffmpeg: Ffmpeg, file_of: Make, name: str, arguments: tuple[str, ...], reason: str
) -> None:
    """Which track has the codec that can't be decoded, by its number in the file and its kind, in our own words."""
    sources = ("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=0.2", "-f", "lavfi", "-i", "sine=duration=0.2")
    file = file_of(av.made(name, *sources, *arguments, "-ac", "2", "-strict", "-2", "-metadata", "title=Audio: x"))
    with pytest.raises(DecodeRejected) as rejected:
        await probe_recording(ffmpeg, file, _type(name))
    assert rejected.value.code == "unsupported_codec"
    assert f"(Found: {reason}.)" in rejected.value.reason


def test_no_packet_reaches_a_rare_decoder(ffmpeg: Ffmpeg) -> None:
    """Decoders that are only opened are on none of the lists that hold while packets are decoded."""
    for decoders in NEVER_DECODED.values():
        assert not set(decoders.split(",")) & set(DECODERS.split(","))
    arguments = source(ffmpeg.settings, "video/mp4", 1)
    assert listed(ffmpeg.settings, "video/mp4", 1)[: len(arguments)] == arguments
    assert arguments[arguments.index("-codec_whitelist") + 1] == DECODERS


@pytest.mark.parametrize("count", [1_000_000, 100_000_000, 4_000_000_000])
async def test_a_table_of_endless_frames_is_refused(ffmpeg: Ffmpeg, file_of: Make, count: int) -> None:
    """A header that says there are billions of frames takes no more memory than there may be."""
    file = file_of(av.sampled(av.media("silent.mp4"), count))
    assert await _code(ffmpeg, file, "video/mp4") in {"corrupt", "decode_memory", "truncated"}


async def test_a_reason_quotes_nothing(ffmpeg: Ffmpeg, file_of: Make) -> None:
    """What FFmpeg says is for nobody's eyes: the owner reads a sentence that says what to do."""
    with pytest.raises(DecodeRejected) as rejected:
        await probe_recording(ffmpeg, file_of(av.media("plain.mp4")[:20_000]), "video/mp4")
    assert rejected.value.reason == (
        "The file is incomplete, its end is missing: upload it again. (Found: a part of what it announces is missing.)"
    )
