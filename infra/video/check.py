"""What is looked at before a stream is announced: FFprobe plays it both ways, and each frame is where it should be."""

import re
from array import array
from collections import defaultdict
from typing import Final
from xml.etree import ElementTree as ET

from infra.ffmpeg import Ffmpeg, Limits
from infra.ffmpeg.confined import OUTPUT
from infra.ffmpeg.written import written
from infra.video.cutting import digest
from infra.video.package import FOLDER, Package
from infra.video.playlists import MANIFEST, MASTER
from infra.video.sound import FRAME, SoundFacts
from schemas.plan import Plan

_MPD: Final = "{urn:mpeg:dash:schema:mpd:2011}"
_SECONDS_BESIDE: Final = 120.0
_FRAMES_PER_SECOND: Final = 20_000
_PACKET: Final = re.compile(r"packet\|stream_index=(\d{1,3})\|pts=(-?\d{1,18})(?:\||$)")
_STREAM: Final = re.compile(r"stream\|index=(\d{1,3})\|codec_type=(video|audio)\|width=(\d{1,5})\|height=(\d{1,5})")
_AUDIO: Final = re.compile(r"stream\|index=(\d{1,3})\|codec_type=audio")


class StreamBroken(Exception):
    """A stream isn't what was planned: our fault, and never announced."""


async def check(ffmpeg: Ffmpeg, plan: Plan, sound: SoundFacts | None, package: Package, *, lost: int = 0) -> None:
    """Play a package as HLS and as DASH.

    Args:
        ffmpeg: Runs FFprobe.
        plan: How it was cut and coded.
        sound: What was encoded of the sound.
        package: What was packaged.
        lost: How many of the original's frames nobody can decode.

    Raises:
        StreamBroken: On a rung a frame is missing, too many, or not where the original has it; the sound is longer or
            shorter than what was encoded; the manifest names what isn't there; or FFprobe can't play one of the two.
    """
    hls = await _played(ffmpeg, plan, package, MASTER, "hls")
    rungs = [(track.rung.width, track.rung.height) for track in package.rungs if track.rung]
    if sorted(hls.sizes.values()) != sorted(rungs):
        raise StreamBroken(f"{MASTER} has {sorted(hls.sizes.values())}, not {sorted(rungs)}")
    _require_frames(
        plan, {f"{width}x{height}": hls.packets[index] for index, (width, height) in hls.sizes.items()}, lost
    )
    if sound is not None and package.sound is not None:
        found = [len(hls.packets[index]) for index in hls.sounds]
        if found != [sound.packets]:
            raise StreamBroken(f"the sound has {found} packets of {FRAME} samples, and {sound.packets} were encoded")
    dash = await _played(ffmpeg, plan, package, MANIFEST, "dash")
    # FFmpeg's reader of DASH ends with the first track that ends, so the others' last packets may be missing here. They
    # are the same files as above: what is looked for is that each track can be opened and played.
    if sorted(dash.sizes.values()) != sorted(rungs) or len(dash.sounds) != (package.sound is not None):
        raise StreamBroken(f"{MANIFEST} has {sorted(dash.sizes.values())}, not {sorted(rungs)}")
    for index in (*dash.sizes, *dash.sounds):
        if not dash.packets[index]:
            alone = await _played(ffmpeg, plan, package, MANIFEST, "dash", "-select_streams", str(index))
            if not alone.packets[index]:
                raise StreamBroken(f"track {index} of {MANIFEST} can't be played")
    _require_files(package)


def _require_frames(plan: Plan, times: "dict[str, array[int]]", lost: int) -> None:
    """All that can be decoded; where some can't, nobody knows which, but all rungs show the same ones."""
    shown: set[str] = set()
    for rung, found in times.items():
        ordered = array("q", sorted(found))
        if len(ordered) != plan.frames - lost:
            raise StreamBroken(f"{rung} has {len(ordered)} frames, the original {plan.frames} and {lost} of them lost")
        shown.add(digest(ordered))
    if len(shown) > 1 or (not lost and shown != {plan.timeline}):
        raise StreamBroken(f"frames of {', '.join(times)} are not shown when the original shows them")


def _require_files(package: Package) -> None:
    """The manifest counts as many segments of each track as there are files."""
    manifest = written(package.folder, MANIFEST)
    text = manifest.read_bytes() if manifest else b""
    if not text or b"<!" in text:
        raise StreamBroken(f"{MANIFEST} is none")
    root = ET.fromstring(text)  # noqa: S314  without declarations there are no entities
    counted = {
        int(each.get("id", "-1")): sum(1 + int(one.get("r", "0")) for one in each.iter(f"{_MPD}S"))
        for each in root.iter(f"{_MPD}Representation")
    }
    listed = {track.number: len(track.segments) for track in package.tracks}
    if counted != listed:
        raise StreamBroken(f"{MANIFEST} counts the segments {counted}, and there are {listed}")
    for track in package.tracks:
        if missing := [name for name in track.files if written(package.folder, name) is None]:
            raise StreamBroken(f"{', '.join(missing[:5])}: not there")


class _Played:
    """What FFprobe said of one way to play it."""

    def __init__(self) -> None:
        self.sizes: dict[int, tuple[int, int]] = {}
        self.sounds: set[int] = set()
        self.packets: dict[int, array[int]] = defaultdict(lambda: array("q"))

    async def take(self, line: str) -> None:
        """One line."""
        if found := _PACKET.match(line):
            self.packets[int(found[1])].append(int(found[2]))
        elif found := _STREAM.search(line):
            self.sizes[int(found[1])] = int(found[3]), int(found[4])
        elif found := _AUDIO.search(line):
            self.sounds.add(int(found[1]))


async def _played(ffmpeg: Ffmpeg, plan: Plan, package: Package, name: str, demuxer: str, *selected: str) -> _Played:
    played = _Played()
    seconds = _SECONDS_BESIDE + plan.frames * len(package.tracks) / _FRAMES_PER_SECOND
    whitelist = ("-protocol_whitelist", "file", "-format_whitelist", f"{demuxer},mov", "-f", demuxer)
    entries = "packet=stream_index,pts:stream=index,codec_type,width,height"
    ran = await ffmpeg.run(
        "ffprobe",
        ["-v", "error", *whitelist, *selected, "-show_entries", entries, "-of", "compact", f"{OUTPUT}/{FOLDER}/{name}"],
        package.folder / name,
        Limits(ffmpeg.settings.decoder_memory_bytes, int(seconds), seconds),
        output=package.folder.parent,
        on_line=played.take,
        background=True,
    )
    if not ran.good:
        raise StreamBroken(f"FFprobe can't play {name}: {ran.complained[-500:]}")
    return played
