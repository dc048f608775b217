"""The packets of files that were encoded here, listed by FFmpeg in one run."""

from array import array
from pathlib import Path
from typing import Final

from infra.ffmpeg import Ffmpeg, Limits
from infra.ffmpeg.confined import OUTPUT

_SECONDS: Final = 600


class Unreadable(Exception):
    """What was encoded here can't be read: our fault."""


async def times(ffmpeg: Ffmpeg, directory: Path, names: list[str]) -> "list[array[int]]":
    """When each packet of each file's first track is presented, in its own ticks, in the order of decoding.

    Raises:
        Unreadable: FFmpeg can't read one of them.
    """
    arguments: list[str] = ["-nostdin", "-v", "error"]
    for name in names:
        arguments += ["-copyts", "-f", "mov", "-format_whitelist", "mov", "-protocol_whitelist", "file"]
        arguments += ["-i", f"{OUTPUT}/{name}"]
    for number in range(len(names)):
        arguments += ["-map", f"{number}:0"]
    found = [array("q") for _ in names]

    async def line(text: str) -> None:
        # `stream, dts, pts, duration, size, checksum`: https://ffmpeg.org/ffmpeg-formats.html#framecrc-1
        fields = text.split(",")
        if not text.startswith("#") and len(fields) >= 6:  # noqa: PLR2004  as above
            found[int(fields[0])].append(int(fields[2]))

    arguments += ["-c", "copy", "-f", "framecrc", "pipe:1"]
    limits = Limits(ffmpeg.settings.decoder_memory_bytes, _SECONDS, _SECONDS)
    ran = await ffmpeg.run(
        "ffmpeg", arguments, directory / names[0], limits, output=directory, on_line=line, background=True
    )
    if not ran.good:
        raise Unreadable(f"{', '.join(names)}: {ran.complained[-500:]}")
    return found
