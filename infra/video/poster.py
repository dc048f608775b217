"""One picture that stands for a video: the frame at one second, or the first after it that isn't black."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.decoder import DecodeRejected
from infra.ffmpeg import Ffmpeg, Ran
from infra.ffmpeg.complaints import refuse
from infra.ffmpeg.confined import OUTPUT
from infra.ffmpeg.filters import Size, deinterlaced, for_jpeg, for_webp, shown, within
from infra.ffmpeg.written import written
from infra.video.footage import Footage
from infra.video.quantizer import quantizer

AT_SECONDS: Final = 1.0
GRID: Final = 10  # moments a second that are looked at: a screen recording may have no frame for minutes
# Every frame for a few seconds, since most titles fade in; then key frames alone for as long as an intro may last.
NEAR_SECONDS: Final = 5.0
FAR_SECONDS: Final = 120.0
# Almost no pixel is brighter than a third of black's way to mid grey (limited range: 16 is black, 235 white).
BLACK: Final = (
    "blackframe=amount=0:threshold=32,metadata=mode=select:key=lavfi.blackframe.pblack:value={}:function=less"
)
BLACK_PERCENT: Final = 98

_GOOD, _ANY = "good", "any"


@dataclass(frozen=True, slots=True)
class Wish:
    """How the picture is coded.

    Attributes:
        longest: The longer side in pixels; a smaller video is not enlarged.
        jpeg_quality: From 1 to 100, on libjpeg's scale.
        webp_quality: From 1 to 100, on libwebp's scale.
    """

    longest: int
    jpeg_quality: int
    webp_quality: int


@dataclass(frozen=True, slots=True)
class Poster:
    """One picture, coded twice."""

    jpeg: Path
    webp: Path
    size: Size


async def take(ffmpeg: Ffmpeg, footage: Footage, wish: Wish, into: Path) -> Poster:
    """Find the frame and write it into a directory.

    A video that is black for longer than is looked ahead gets a black picture, one that is shorter than a second its
    middle, and one whose pictures begin late the first that there is.

    Raises:
        DecodeRejected: No frame can be decoded; the code says why, as far as FFmpeg does.
        DecoderUnavailable: FFmpeg could not be started.
        OSError: No space is left.
    """
    taking = _Taking(ffmpeg, footage, wish, into)
    await taking.look_near()
    if found := taking.found(_GOOD):
        return found
    if black := taking.found(_ANY):
        await taking.look_far()
        return taking.found(_GOOD) or black
    ran = await taking.take_first()
    if found := taking.found(_ANY):
        return found
    raise refuse(ran, "there is no picture in it that can be decoded")


@dataclass(slots=True)
class _Taking:
    ffmpeg: Ffmpeg
    footage: Footage
    wish: Wish
    into: Path

    async def look_near(self) -> None:
        """Write what is on screen at the moment, and the first from there on that isn't black."""
        seconds = self.footage.probe.duration_seconds
        at = AT_SECONDS if seconds > AT_SECONDS + 1 / GRID else seconds / 2
        chosen = [
            *deinterlaced(self.footage.probe),
            # Rounded up, each moment shows the last frame that began before it; the last one stays.
            f"fps={GRID}:start_time=0:round=up",
            f"tpad=stop_mode=clone:stop_duration={AT_SECONDS + 1:g}",
            f"trim=start={at - 0.5 / GRID:.3f}:end={at + NEAR_SECONDS:.3f}",
        ]
        await self._run(["-t", f"{at + NEAR_SECONDS:g}"], chosen, near=True, far=True)

    async def look_far(self) -> None:
        """Write the first key frame that isn't black, if there is one."""
        chosen = [f"fps=1:start_time=0:round=up,trim=start={AT_SECONDS:g}"]
        options = ["-skip_frame", "nokey", f"-discard:{self.footage.probe.index}", "nokey", "-t", f"{FAR_SECONDS:g}"]
        with contextlib.suppress(DecodeRejected):  # then black it is
            await self._run(options, chosen, near=False, far=True)

    async def take_first(self) -> Ran:
        """Write the first frame that can be decoded, wherever it is."""
        return await self._run([], deinterlaced(self.footage.probe), near=True, far=False)

    def found(self, name: str) -> Poster | None:
        """What was written."""
        jpeg, webp = (written(self.into, f"{name}.{ending}") for ending in ("jpg", "webp"))
        return Poster(jpeg, webp, self._size) if jpeg and webp else None

    @property
    def _size(self) -> Size:
        return within(self.footage.probe, self.wish.longest, self.wish.longest, even=False)

    async def _run(self, options: list[str], chosen: list[str], *, near: bool, far: bool) -> Ran:
        """Take the first of the chosen frames, the first of them that isn't black, or both, in one decoding."""
        names = [name for name, wanted in ((_ANY, near), (_GOOD, far)) if wanted]
        first = ",".join([*chosen, shown(self.footage.probe, self._size)])
        graph = f"{self.footage.label}{first},split={len(names)}{''.join(f'[{name}]' for name in names)}"
        arguments: list[str] = []
        for name in names:
            bright = f"{BLACK.format(BLACK_PERCENT)}," if name == _GOOD else ""
            graph += f";[{name}]{bright}split=2[{name}j][{name}w]"
            graph += f";[{name}j]{for_jpeg()}[{name}jpg];[{name}w]{for_webp()}[{name}webp]"
            arguments += [*_still(name, "jpg"), *("-c:v", "mjpeg", "-q:v", f"{quantizer(self.wish.jpeg_quality):g}")]
            arguments += [f"{OUTPUT}/{name}.jpg", *_still(name, "webp"), "-c:v", "libwebp"]
            arguments += ["-quality", str(self.wish.webp_quality), f"{OUTPUT}/{name}.webp"]
        settings = self.ffmpeg.settings
        opened = self.footage.opened(settings, *options)
        # Ten thousand frames of a phone's video are bounded by their number, a few large ones by their size.
        pixels = min(self.footage.pixels, 600 * self.footage.probe.coded_width * self.footage.probe.coded_height)
        limits = self.footage.limits(settings, pixels)
        return await self.ffmpeg.run(
            "ffmpeg", [*opened, "-filter_complex", graph, *arguments], self.footage.file, limits, output=self.into
        )


def _still(name: str, ending: str) -> list[str]:
    """One picture without a word on who made it."""
    return [
        *("-map", f"[{name}{ending}]", "-frames:v", "1", "-fps_mode", "passthrough", "-map_metadata", "-1"),
        *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "image2", "-update", "1", "-y"),
    ]
