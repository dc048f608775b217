"""Filters that turn what a decoder gives into what people should see, from what probing found.

A picture comes out upright, of square pixels, progressive, in 8 bits of BT.709, with as many frames as went in. What
probing found decides, not what each frame says: every chunk and every rung of a video is treated alike. So FFmpeg is
not to turn pictures itself (`-noautorotate`, see `infra.ffmpeg.sources`), and graphs go into `-filter_complex`: an
output of `-vf` would inherit the input stream's side data, such as its rotation and mastering display, and its tags.
"""

from dataclasses import dataclass
from fractions import Fraction

from schemas.probe_av import VideoProbe

REFERENCE_WHITE = 203  # cd/m², where HDR puts a sheet of paper: https://www.itu.int/pub/R-REP-BT.2408
PEAK = 1000  # cd/m², what most HDR is mastered for; a constant, so that no frame is darker for its neighbour's sake
LEAST_LINES = 4  # that can be deinterlaced: https://github.com/FFmpeg/FFmpeg/blob/release/5.1/libavfilter/bwdif.h
HIGH_DEFINITION = (1280, 720)

# FFmpeg's names of matrices (the stream's, in swscale, in zscale).
_MATRICES = {
    "bt709": ("bt709", "709"),
    "fcc": ("fcc", "fcc"),
    "bt470bg": ("smpte170m", "470bg"),
    "smpte170m": ("smpte170m", "170m"),
    "smpte240m": ("smpte240m", "240m"),
    "bt2020nc": ("bt2020", "2020_ncl"),
    "bt2020c": ("bt2020", "2020_cl"),
}
_WIDE = {"bt2020": "2020", "smpte431": "smpte431", "smpte432": "smpte432"}
_HDR = {"smpte2084", "arib-std-b67"}
_ALWAYS_BT601 = {"vp8", "h263", "mjpeg"}  # by their own specifications, whatever their size
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr")
_TURNS = {0: (), 90: ("transpose=clock",), 180: ("hflip", "vflip"), 270: ("transpose=cclock",)}
_FINE = "flags=bicubic+accurate_rnd+full_chroma_int"
_TAGS = "setparams=field_mode=prog:range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels as displayed."""

    width: int
    height: int


def fitted(probe: VideoProbe, longer: int, shorter: int, *, even: bool) -> Size:
    """The largest size of a video's shape within a box that lies as the video does; never larger than the video.

    Args:
        probe: The video.
        longer: The box's longer side.
        shorter: The box's shorter side.
        even: Both sides even, as 4:2:0 codecs want them: of an odd video the last column or line is scaled away, and
            one of a single pixel becomes two.
    """
    wide = probe.width >= probe.height
    return within(probe, *((longer, shorter) if wide else (shorter, longer)), even=even)


def within(probe: VideoProbe, most_width: int, most_height: int, *, even: bool) -> Size:
    """The same, of a box that lies as it lies."""
    scale = min(Fraction(1), Fraction(most_width, probe.width), Fraction(most_height, probe.height))
    width, height = (_side(side, scale, even=even) for side in (probe.width, probe.height))
    return Size(width, height)


def picture(probe: VideoProbe, size: Size) -> str:
    """The filters from a decoded frame to `yuv420p` of BT.709 in limited range, tagged so, at a size as displayed.

    They keep count and timestamps of frames. What is wanted smaller as well is made of their output by `resized`: the
    costly part is done once.
    """
    return ",".join([*deinterlaced(probe), shown(probe, size)])


def deinterlaced(probe: VideoProbe) -> list[str]:
    """The first filters of `picture`, which need every frame: whoever leaves frames out does so after them.

    One frame for each frame; those that say they are progressive stay as they are.
    """
    woven = probe.interlaced or probe.codec == "dvvideo"  # whose containers don't say so
    if not woven or min(probe.coded_width, probe.coded_height) < LEAST_LINES:
        return []
    return ["bwdif=mode=send_frame:deint=interlaced"]


def shown(probe: VideoProbe, size: Size) -> str:
    """The rest of `picture`: each frame for itself."""
    stored = Size(size.height, size.width) if probe.rotation in {90, 270} else size
    colours = _converted(probe, stored) if is_hdr(probe) or _gamut(probe) else _scaled(probe, stored)
    return ",".join([*colours, *_TURNS[probe.rotation], "setsar=1", _TAGS])


def resized(size: Size) -> str:
    """The filters from one output of `picture` to a smaller one."""
    return f"scale={size.width}:{size.height}:flags=bicubic,setsar=1"


def for_jpeg() -> str:
    """The filters from `picture` to what a JPEG means by its numbers: BT.601 in full range."""
    return f"scale={_FINE}:in_color_matrix=bt709:in_range=tv:out_color_matrix=bt601:out_range=pc,format=yuvj420p"


def for_webp() -> str:
    """The filters from `picture` to what a WebP means by its numbers: BT.601 in limited range."""
    return f"scale={_FINE}:in_color_matrix=bt709:in_range=tv:out_color_matrix=bt601:out_range=tv,format=yuv420p"


def is_hdr(probe: VideoProbe) -> bool:
    """Whether its brightness has to be mapped: its transfer is PQ or HLG, Dolby Vision's base layer's included."""
    return probe.color_transfer in _HDR


def _side(side: int, scale: Fraction, *, even: bool) -> int:
    exact = side * scale
    if not even:
        return max(1, round(exact))
    nearest = 2 * round(exact / 2)
    return max(2, nearest if nearest <= side else nearest - 2)


def _scaled(probe: VideoProbe, size: Size) -> list[str]:
    matrix, _ = _matrix(probe)
    return [_scale(size, (matrix, _range(probe)), ("bt709", "tv")), "format=yuv420p"]


def _converted(probe: VideoProbe, size: Size) -> list[str]:
    """Scaled first, for the rest is floating point; without subsampling, for zscale takes no odd sizes with it."""
    matrix, zmatrix = _matrix(probe)
    if _is_rgb(probe) or (is_hdr(probe) and probe.color_space == "bt2020c"):
        # Constant luminance is only defined for SDR, and a tag that says so of HDR is a mistake.
        matrix, zmatrix = _MATRICES["bt2020nc"]
    value_range = "tv" if _is_rgb(probe) else _range(probe)
    scaled = _scale(size, (matrix, _range(probe)), (matrix, value_range))
    transfer = probe.color_transfer if is_hdr(probe) else "709"
    taken = f"zscale=tin={transfer}:min={zmatrix}:pin={_gamut(probe) or '2020'}:rin={value_range}"
    given = "p=709:t=709:m=709:r=tv"
    if not is_hdr(probe):
        return [scaled, "format=yuv444p10le", f"{taken}:{given}", "format=yuv444p", "format=yuv420p"]
    return [
        scaled,
        "format=yuv444p10le",
        f"{taken}:t=linear:npl={REFERENCE_WHITE}:p=709:m=gbr",
        "format=gbrpf32le",
        # Linear up to 0.3 of paper white: what isn't a highlight keeps its contrast.
        f"tonemap=mobius:desat=0:peak={PEAK / REFERENCE_WHITE:.3f}",
        f"zscale={given}",
        "format=yuv444p",
        "format=yuv420p",
    ]


def _scale(size: Size, taken: tuple[str, str], given: tuple[str, str]) -> str:
    """Swscale from one matrix and range to another."""
    colours = f"in_color_matrix={taken[0]}:in_range={taken[1]}:out_color_matrix={given[0]}:out_range={given[1]}"
    return f"scale={size.width}:{size.height}:flags=bicubic:{colours}"


def _matrix(probe: VideoProbe) -> tuple[str, str]:
    """What the file says; else what players take for granted."""
    if probe.color_space in _MATRICES:
        return _MATRICES[probe.color_space]
    if is_hdr(probe):
        return _MATRICES["bt2020nc"]
    large = max(probe.coded_width, probe.coded_height) >= HIGH_DEFINITION[0] or (
        min(probe.coded_width, probe.coded_height) >= HIGH_DEFINITION[1]
    )
    return _MATRICES["bt709" if large and probe.codec not in _ALWAYS_BT601 else "smpte170m"]


def _gamut(probe: VideoProbe) -> str | None:
    return _WIDE.get(probe.color_primaries or "")


def _range(probe: VideoProbe) -> str:
    full = probe.color_range == "pc" or (probe.pixel_format or "").startswith("yuvj")
    return "pc" if full or _is_rgb(probe) else "tv"


def _is_rgb(probe: VideoProbe) -> bool:
    return (probe.pixel_format or "").startswith(_RGB)
