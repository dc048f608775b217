"""Join a video's pieces and package them: CMAF segments once, HLS and DASH over them. Nothing is encoded again.

The plan's mark and FFmpeg's numbers of the tracks are part of the files' names: the rung that is playable first is 0
and the sound 1, alone as well as among all the others, so that packaging all of them writes what was announced first
once more, byte for byte.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.ffmpeg import Ffmpeg, Limits
from infra.ffmpeg.confined import OUTPUT
from infra.video.playlists import (
    MANIFEST,
    MASTER,
    Track,
    corrected,
    master_playlist,
    media_playlist,
    read,
    read_codecs,
    read_track,
)
from schemas.plan import SOUND, Plan, Rung, Table, piece

FOLDER: Final = "stream"
PLAN: Final = "tidegate-plan"
"""Where the metadata of the master playlist and the manifest say by which plan they were made."""
MICROSECONDS: Final = 1_000_000
# Every key frame begins a segment, for there are no others: whatever is longer than nothing is long enough.
_ANY_LENGTH: Final = 0.001
# A piece doesn't know how long its last frame is shown, and the next fragment would begin where its guess ends.
_UNTIL_NEXT: Final = r"if(gt(NEXT_DTS\,DTS)\,NEXT_DTS-DTS\,max(DURATION\,1))"
_SECONDS_BESIDE: Final = 120.0
_BYTES_PER_SECOND: Final = 4 * 1024 * 1024
_MOST_BYTES: Final = 4 * 1024**3


class PackagingFailed(Exception):
    """What was encoded here can't be packaged: our fault."""


@dataclass(frozen=True, slots=True)
class Package:
    """What players are given.

    Attributes:
        folder: Where its files are.
        tracks: In the order of FFmpeg's numbers.
    """

    folder: Path
    tracks: list[Track]

    @property
    def sound(self) -> Track | None:
        """The sound's track."""
        return next((track for track in self.tracks if track.rung is None), None)

    @property
    def rungs(self) -> list[Track]:
        """The others."""
        return [track for track in self.tracks if track.rung is not None]


async def package(
    ffmpeg: Ffmpeg, plan: Plan, table: Table, rungs: tuple[Rung, ...], directory: Path, *, sound: bool
) -> Package:
    """Package the pieces that lie in a directory, into its folder `FOLDER`.

    Args:
        ffmpeg: Runs FFmpeg.
        plan: What the pieces are of.
        table: Where they begin.
        rungs: Which rungs: `plan.rungs`, or only the first of them.
        directory: Where the pieces are.
        sound: Whether there is any.

    Raises:
        PackagingFailed: FFmpeg can't.
        Misread: FFmpeg wrote something else.
        OSError: No space is left.
    """
    folder = directory / FOLDER
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for rung in rungs:
        _write(directory / _list(rung), _concat(plan, table, rung))
    wall = _SECONDS_BESIDE + _size(directory) / _BYTES_PER_SECOND
    limits = Limits(ffmpeg.settings.decoder_memory_bytes, int(wall), wall, _MOST_BYTES)
    ran = await ffmpeg.run(
        "ffmpeg",
        _arguments(plan, rungs, sound=sound),
        directory / _list(rungs[0]),
        limits,
        output=directory,
        background=True,
    )
    if not ran.good:
        raise PackagingFailed(ran.complained[-1000:])
    if folder.is_symlink():
        raise PackagingFailed("what it wrote to is no longer there")
    numbers: list[Rung | None] = [rungs[0], *([None] if sound else []), *rungs[1:]]
    tracks = [read_track(folder, plan, number, rung) for number, rung in enumerate(numbers)]
    codecs = read_codecs(folder, tracks)
    for track in tracks:
        _write(folder / track.playlist, media_playlist(track))
    _write(folder / MASTER, master_playlist(plan, tracks, codecs))
    _write(folder / MANIFEST, corrected(plan, tracks, read(folder, MANIFEST)))
    return Package(folder, tracks)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())


def _write(path: Path, text: str) -> None:
    """In place of whatever is there: a link of that name is not followed."""
    path.unlink(missing_ok=True)
    with path.open("x") as file:
        file.write(text)


def _list(rung: Rung) -> str:
    return f"{rung.name}.ffconcat"


def _concat(plan: Plan, table: Table, rung: Rung) -> str:
    """A list of one rung's pieces (https://ffmpeg.org/ffmpeg-formats.html#concat-1).

    How long each lasts is said here: of a piece alone nobody knows how long its last frame is shown. Rounded where each
    begins, so that no rounding adds up.
    """
    begins = [MICROSECONDS * offset // plan.timescale for offset in (*table.offsets, plan.duration)]
    lines = ["ffconcat version 1.0"]
    for number in range(plan.chunks):
        seconds = (begins[number + 1] - begins[number]) / MICROSECONDS
        lines += [f"file {piece(number, rung.name)}", f"duration {seconds:.6f}"]
    return "\n".join([*lines, ""])


def _arguments(plan: Plan, rungs: tuple[Rung, ...], *, sound: bool) -> list[str]:
    confined = ("-protocol_whitelist", "file", "-format_whitelist", "concat,mov")
    inputs: list[str] = []
    for rung in rungs[:1]:
        inputs += [*confined, "-f", "concat", "-i", f"{OUTPUT}/{_list(rung)}"]
    if sound:
        inputs += [*confined, "-f", "mov", "-i", f"{OUTPUT}/{SOUND}"]
    for rung in rungs[1:]:
        inputs += [*confined, "-f", "concat", "-i", f"{OUTPUT}/{_list(rung)}"]
    count = len(rungs) + sound
    maps = [part for number in range(count) for part in ("-map", f"{number}:0")]
    largest = max(plan.rungs, key=lambda rung: rung.pixels)
    # Of sizes in whole pixels each has a slightly different shape, which FFmpeg takes for a mistake: as players show
    # them, all have that of the largest. Of the first size alone as well, or its bytes would change.
    shapes = [
        part for number in range(len(rungs)) for part in (f"-aspect:v:{number}", f"{largest.width}:{largest.height}")
    ]
    sets = [f"id=0,seg_duration={_ANY_LENGTH},streams=v"]
    if sound:
        sets.append(f"id=1,seg_duration={plan.segment_seconds:g},streams=a")
    return [
        *("-nostdin", "-v", "error", *inputs, *maps, "-c", "copy", *shapes),
        *("-bsf:v", f"setts=pts=PTS:dts=DTS:duration={_UNTIL_NEXT}"),
        *("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"),
        *("-max_interleave_delta", "0"),
        *("-f", "dash", "-hls_playlist", "1", "-use_timeline", "1", "-use_template", "1"),
        # With an index of its own each segment would begin where the one before it says that it ends, which FFmpeg
        # computes from the packet that is decoded last. Playlist and manifest are index enough.
        *("-format_options", "movflags=+skip_sidx"),
        *("-init_seg_name", f"init-{plan.mark}-$RepresentationID$.mp4"),
        *("-media_seg_name", f"seg-{plan.mark}-$RepresentationID$-$Number%05d$.m4s"),
        *("-adaptation_sets", " ".join(sets), f"{OUTPUT}/{FOLDER}/{MANIFEST}"),
    ]
