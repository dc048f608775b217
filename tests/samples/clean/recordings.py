"""Videos and sounds as phones, cameras, browsers and recorders make them, by FFmpeg: half a second each."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.samples.clean.images import encoded, motion_photo, photo
from tests.samples.clean.sample import Sample

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=0.5")
_SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=0.5")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
_AAC = ("-c:a", "aac")
_BOTH = (*_H264, *_AAC)
_VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8")
_OPUS = ("-c:a", "libopus", "-ar", "48000")
_LIVE = ("-f", "webm", "-live", "1", "-cluster_time_limit", "100")
_FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
_TITLE = ("-metadata", "title=A <b>title</b>", "-metadata", "comment=100% <3", "-metadata", "artist=Ann & Bob")

# What FFmpeg is told, by the name of what it makes; which inputs it has is told by what is left out.
_VIDEOS: dict[str, tuple[str, tuple[str, ...]]] = {
    "camera.mp4": ("video/mp4", _BOTH),
    "faststart.mp4": ("video/mp4", (*_BOTH, "-movflags", "+faststart")),
    "recorded.mp4": ("video/mp4", (*_BOTH, *_FRAGMENTS)),
    "dash.mp4": ("video/mp4", (*_H264, "-an", "-movflags", "dash+frag_keyframe+empty_moov", "-brand", "dash")),
    "silent.mp4": ("video/mp4", (*_H264, "-an")),
    "hevc.mp4": (
        "video/mp4",
        ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=none", *_AAC),
    ),
    "mpeg4.mp4": ("video/mp4", ("-c:v", "mpeg4", *_AAC)),
    "av1.mp4": ("video/mp4", ("-c:v", "libsvtav1", "-preset", "12", "-an")),
    "titled.mp4": ("video/mp4", (*_BOTH, *_TITLE)),
    "ios.m4v": ("video/mp4", (*_BOTH, "-f", "ipod", "-brand", "M4V ")),
    "psp.mp4": ("video/mp4", ("-c:v", "libx264", "-preset", "ultrafast", *_AAC, "-f", "psp")),
    "phone.mov": ("video/quicktime", _BOTH),
    "fast.mov": ("video/quicktime", (*_BOTH, "-movflags", "+faststart")),
    "hevc.mov": (
        "video/quicktime",
        ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=none", *_AAC),
    ),
    "prores.mov": ("video/quicktime", ("-c:v", "prores", "-c:a", "pcm_s16le")),
    "mjpeg.mov": ("video/quicktime", ("-c:v", "mjpeg", "-c:a", "pcm_s16be")),
    "titled.mov": ("video/quicktime", (*_BOTH, *_TITLE)),
    "phone.3gp": ("video/3gpp", (*_BOTH, "-f", "3gp")),
    "old-phone.3gp": ("video/3gpp", ("-c:v", "h263", "-s", "128x96", "-an", "-f", "3gp")),
    "vp8.webm": ("video/webm", (*_VP8, "-c:a", "libvorbis")),
    "vp9.webm": ("video/webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", *_OPUS)),
    "recorded.webm": ("video/webm", (*_VP8, *_OPUS, *_LIVE)),
    "silent.webm": ("video/webm", (*_VP8, "-an")),
    "camera.mkv": ("video/x-matroska", _BOTH),
    "flac.mkv": ("video/x-matroska", (*_H264, "-c:a", "flac")),
    "xvid.avi": ("video/x-msvideo", ("-c:v", "mpeg4", "-vtag", "xvid", "-c:a", "libmp3lame")),
    "camera.avi": ("video/x-msvideo", ("-c:v", "mjpeg", "-c:a", "pcm_s16le")),
}
_SOUNDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "constant.mp3": ("audio/mpeg", ("-b:a", "128k")),
    "variable.mp3": ("audio/mpeg", ("-q:a", "4")),
    "fine.mp3": ("audio/mpeg", ("-b:a", "320k", "-ar", "32000")),
    "mono.mp3": ("audio/mpeg", ("-b:a", "24k", "-ar", "16000", "-ac", "1")),
    "bare.mp3": ("audio/mpeg", ("-id3v2_version", "0", "-write_xing", "0")),
    "bare-fine.mp3": ("audio/mpeg", ("-id3v2_version", "0", "-b:a", "320k")),
    "titled.mp3": ("audio/mpeg", ("-id3v2_version", "3", "-write_id3v1", "1", *_TITLE)),
    "tail.mp3": ("audio/mpeg", ("-id3v2_version", "0", "-write_id3v1", "1", *_TITLE)),
    "voice.m4a": ("audio/mp4", _AAC),
    "android.m4a": ("audio/mp4", (*_AAC, "-f", "mp4")),
    "recorded.m4a": ("audio/mp4", (*_AAC, "-f", "mp4", *_FRAGMENTS)),
    "lossless.m4a": ("audio/mp4", ("-c:a", "alac")),
    "plain.aac": ("audio/aac", _AAC),
    "low.aac": ("audio/aac", (*_AAC, "-ar", "22050", "-ac", "1", "-b:a", "32k")),
    "plain.flac": ("audio/flac", ()),
    "deep.flac": ("audio/flac", ("-sample_fmt", "s32", "-ar", "96000")),
    "titled.flac": ("audio/flac", _TITLE),
    "voice.ogg": ("audio/ogg", _OPUS),
    "vorbis.ogg": ("audio/ogg", ("-c:a", "libvorbis")),
    "flac.ogg": ("audio/ogg", ("-c:a", "flac")),
    "voice.opus": ("audio/ogg", (*_OPUS, "-application", "voip", "-b:a", "16k", *_TITLE)),
    "pcm.wav": ("audio/wav", ()),
    "float.wav": ("audio/wav", ("-c:a", "pcm_f32le")),
    "law.wav": ("audio/wav", ("-c:a", "pcm_mulaw", "-ar", "8000")),
    "adpcm.wav": ("audio/wav", ("-c:a", "adpcm_ima_wav")),
    "surround.wav": ("audio/wav", ("-ac", "6", "-c:a", "pcm_s24le")),
    "titled.wav": ("audio/wav", _TITLE),
    "broadcast.wav": ("audio/wav", ("-write_bext", "1", "-metadata", "description=A take")),
    "voice.weba": ("audio/webm", (*_OPUS, "-f", "webm")),
    "recorded.weba": ("audio/webm", (*_OPUS, *_LIVE)),
}
_ALL = {**_VIDEOS, **_SOUNDS}
# Larger than any head: what it is the cover of stands far behind.
_COVER = b"\0image/jpeg\0\3\0" + encoded(photo(7, (1200, 900)), "JPEG", quality=95)


def samples() -> Iterator[Sample]:
    """Everything that FFmpeg makes, and what no muxer of its own does."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        _run(directory, (*_PICTURE, *_SOUND), _VIDEOS, ("-map", "0:v", "-map", "1:a"))
        _run(directory, _SOUND, _SOUNDS, ("-map", "0:a"))
        made = {name: (content_type, (directory / name).read_bytes()) for name, (content_type, _) in _ALL.items()}
    for name, (content_type, body) in made.items():
        yield Sample(name, content_type, body)
    yield Sample("motion.jpg", "image/jpeg", motion_photo(made["camera.mp4"][1]))
    tag = _tag(b"TIT2", b"\0A title")
    yield Sample("tagged.flac", "audio/flac", tag + made["plain.flac"][1])
    yield Sample("tagged.aac", "audio/aac", tag + made["plain.aac"][1])
    yield Sample("cover.mp3", "audio/mpeg", _tag(b"APIC", _COVER) + made["bare.mp3"][1])
    yield Sample("padded.mp3", "audio/mpeg", tag + bytes(300) + made["bare.mp3"][1])
    yield Sample("piped.wav", "audio/wav", _piped(made["pcm.wav"][1]))
    yield Sample("without-ftyp.mov", "video/quicktime", made["phone.mov"][1][_ftyp_length(made["phone.mov"][1]) :])


def _tag(name: bytes, content: bytes) -> bytes:
    """An ID3 tag of version 2.3 with one frame: https://id3.org/id3v2.3.0."""
    frame = name + len(content).to_bytes(4) + b"\0\0" + content
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame


def _piped(wav: bytes) -> bytes:
    """As a recorder writes it that can't go back to say how long it was."""
    at = wav.index(b"data") + 4
    return wav[:4] + b"\xff" * 4 + wav[8:at] + b"\xff" * 4 + wav[at + 4 :]


def _ftyp_length(movie: bytes) -> int:
    """QuickTime files began with what comes next for ten years."""
    return int.from_bytes(movie[:4])


def _run(
    directory: Path, inputs: tuple[str, ...], outputs: dict[str, tuple[str, tuple[str, ...]]], maps: tuple[str, ...]
) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs]
    for name, (_, options) in outputs.items():
        command += [*maps, *options, name]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
