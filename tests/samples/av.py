"""Audio and video that FFmpeg itself makes: good files of every container, each kept for the test run."""

import os
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

RECORDINGS = Path(__file__).with_name("recordings")
"""What others recorded: see its README."""
_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=1")
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1")
_BOTH = (*_PICTURE, *_TONE, "-shortest")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")

# Name (its extension is the container) to FFmpeg's arguments.
_RECIPES: dict[str, tuple[str, ...]] = {
    "plain.mp4": (*_BOTH, *_H264, "-c:a", "aac", "-movflags", "+faststart"),
    "late-moov.mp4": (*_BOTH, *_H264, "-c:a", "aac"),
    "fragmented.mp4": (*_BOTH, *_H264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"),
    "silent.mp4": (*_PICTURE, *_H264),
    "hevc.mp4": (*_BOTH, "-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1", "-c:a", "aac"),
    "hevc.mov": (*_BOTH, "-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1", "-c:a", "pcm_s16le"),
    "plain.mov": (*_BOTH, *_H264, "-c:a", "aac"),
    "plain.3gp": (*_BOTH, "-c:v", "mpeg4", "-c:a", "aac"),
    "vp8.webm": (*_BOTH, "-c:v", "libvpx", "-c:a", "libvorbis"),
    "vp9.webm": (*_BOTH, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"),
    "av1.webm": (*_BOTH, "-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus"),
    "live.webm": (*_BOTH, "-c:v", "libvpx", "-c:a", "libopus", "-live", "1"),
    "plain.mkv": (*_BOTH, *_H264, "-c:a", "flac"),
    "plain.avi": (*_BOTH, "-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "plain.mp3": (*_TONE, "-c:a", "libmp3lame"),
    "bare.mp3": (*_TONE, "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"),
    "plain.m4a": (*_TONE, "-c:a", "aac"),
    "plain.aac": (*_TONE, "-c:a", "aac"),
    "plain.flac": (*_TONE, "-c:a", "flac"),
    "vorbis.ogg": (*_TONE, "-c:a", "libvorbis"),
    "opus.ogg": (*_TONE, "-c:a", "libopus"),
    "plain.wav": (*_TONE,),
    "plain.weba": (*_TONE, "-c:a", "libopus", "-f", "webm"),
}  # fmt: skip
NAMES = tuple(_RECIPES)


@cache
def media(name: str) -> bytes:
    """A good file by its name."""
    return made(name, *_RECIPES[name])


def made(name: str, *arguments: str) -> bytes:
    """Let FFmpeg make a file.

    Args:
        name: The output's name; its extension chooses the container.
        arguments: What stands between `ffmpeg` and the output.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, name)
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *arguments, "-bitexact", str(output)]
        subprocess.run(command, check=True, env=os.environ | {"SVT_LOG": "1"})
        return output.read_bytes()


def piped_from(content: bytes, name: str, *arguments: str) -> bytes:
    """Let FFmpeg make a file of another one; `{}` among the arguments is that one."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.write_bytes(content)
        return made(name, *(str(source) if each == "{}" else each for each in arguments))


def with_blank_packets(content: bytes, *numbers: int) -> bytes:
    """The same video, of whose packets some hold nothing but zeros: what those had to show, nobody can decode."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.write_bytes(content)
        wanted = ("-select_streams", "v:0", "-show_entries", "packet=pos,size", "-of", "csv=p=0")
        command = ["ffprobe", "-v", "error", *wanted]
        listed = subprocess.run([*command, str(source)], check=True, capture_output=True, text=True).stdout.split()
    damaged = bytearray(content)
    for number in numbers:
        size, position = (int(field) for field in listed[number].split(","))
        damaged[position : position + size] = bytes(size)
    return bytes(damaged)


def piped(*arguments: str) -> bytes:
    """Let FFmpeg make a file in a pipe, where it can't go back to write how long it became."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *arguments, "pipe:1"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def sampled(good: bytes, count: int) -> bytes:
    """An MP4 of one track whose table says that it has so many frames, of one byte each."""
    for name, table in (
        (b"stsz", struct.pack(">3I", 0, 1, count)),
        (b"stts", struct.pack(">4I", 0, 1, count, 512)),
        (b"stsc", struct.pack(">5I", 0, 1, 1, count, 1)),
    ):
        at = good.index(name) + 4
        good = good[:at] + table + good[at + len(table) :]
    return good
