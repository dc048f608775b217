"""A stream made of a file without any server: planned, encoded chunk by chunk, packaged and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.ffmpeg import Ffmpeg, probe_recording
from infra.ffmpeg.recording import Recording
from infra.video.check import check
from infra.video.chunk import Encoding, encode
from infra.video.cutting import Cutting
from infra.video.package import Package, package
from infra.video.planning import make_plan
from infra.video.sound import SoundFacts, encode_sound
from schemas.media import Identity
from schemas.objects import ObjectRef
from schemas.plan import Plan
from schemas.probe_av import VideoProbe
from schemas.profiles import RungProfile, VideoProfile
from schemas.types import TYPES

CONTENT_TYPES = {identity.extension: content_type for content_type, identity in TYPES.items()}
SMALL: dict[str, Any] = {
    "rungs": (
        RungProfile(name="90p", longer=160, shorter=90, bit_rate=200_000),
        RungProfile(name="180p", longer=320, shorter=180, bit_rate=400_000),
    ),
    "playable": "90p",
    "preset": "veryfast",
    "segment_seconds": 1,
    "chunk_seconds": 1,
}
"""Two sizes, and a chunk for each second."""


def small(**changes: Any) -> VideoProfile:
    """A profile for small videos, which promises nothing but the stream."""
    told: dict[str, Any] = {"poster": "none", "storyboard": "none", **SMALL, **changes}
    return VideoProfile(**told)


@dataclass
class Made:
    """A stream and what it was made by."""

    probe: VideoProbe
    plan: Plan
    cutting: Cutting
    sound: SoundFacts | None
    package: Package
    lost: int = 0


async def nothing(_done: float) -> None:
    """Told how far it is."""


async def planned(
    ffmpeg: Ffmpeg, file: Path, name: str, profile: VideoProfile, probe: VideoProbe | None = None
) -> tuple[VideoProbe, Plan, Cutting]:
    """What is found in a file, if it wasn't looked at before, and how it is cut."""
    identity = TYPES[CONTENT_TYPES[name.rpartition(".")[2]]]
    if probe is None:
        found = await probe_recording(ffmpeg, file, identity.content_type)
        assert isinstance(found, VideoProbe)
        probe = found
    original = ObjectRef(bucket="tests", key=name, size=1, sha256="0" * 64)
    plan, cutting = await make_plan(ffmpeg, file, original, Identity(**dict(identity)), probe, profile)
    return probe, plan, cutting


async def streamed(
    ffmpeg: Ffmpeg,
    file: Path,
    name: str,
    into: Path,
    profile: VideoProfile | None = None,
    *,
    rungs: int | None = None,
    probe: VideoProbe | None = None,
) -> Made:
    """Make a stream of a file, of all rungs or the first ones; `check` has looked at it."""
    probe, plan, cutting = await planned(ffmpeg, file, name, profile or small(), probe)
    content_type = CONTENT_TYPES[name.rpartition(".")[2]]
    lost = 0
    for chunk in cutting.chunks:
        encoding = Encoding(file, content_type, probe, plan)
        lost += await encode(ffmpeg, encoding, chunk, plan.rungs, into, threads=2, on_frames=nothing)
    sound = None
    if plan.sound:
        recording = Recording(file, content_type, probe.audio[0], probe.duration_seconds)
        sound = await encode_sound(ffmpeg, recording, plan, into, on_seconds=nothing)
    made = await packaged(ffmpeg, plan, cutting, sound, into, rungs, lost)
    return Made(probe, plan, cutting, sound, made, lost)


async def packaged(
    ffmpeg: Ffmpeg,
    plan: Plan,
    cutting: Cutting,
    sound: SoundFacts | None,
    into: Path,
    rungs: int | None = None,
    lost: int = 0,
) -> Package:
    """Package what lies in a directory, and check it."""
    audible = sound is not None and sound.packets > 0
    made = await package(ffmpeg, plan, cutting.table, plan.rungs[:rungs], into, sound=audible)
    await check(ffmpeg, plan, sound if audible else None, made, lost=lost)
    return made


def contents(folder: Path, names: Sequence[str] = ()) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not names or path.name in names}
