"""Videos as cameras, phones, browsers and editors make them: one known picture in each, which says its own time.

Four coloured corners say which way is up and what colours are; between them the frame's number stands in stripes of
black and white, bit by bit, with the lowest on the left and a last stripe that is always white.
"""

import struct
from dataclasses import dataclass
from functools import cache

from tests.samples import av

CORNERS = ((200, 50, 40), (40, 160, 60), (40, 64, 200), (210, 200, 60))
"""In sRGB: top left, top right, bottom left, bottom right."""
STRIPES = 13
PLACE = "+48.8584+002.2945/"
PERSON = "Alice Example's phone"
TAGS = (
    *("-metadata", f"location={PLACE}", "-metadata", f"title={PERSON}", "-metadata", f"comment={PERSON}"),
    *("-metadata", "creation_time=2019-05-04T03:02:01Z", "-metadata:s", f"handler_name={PERSON}"),
)
BT709 = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
_IN_FRAMES = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"  # ProRes has it in each
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "16")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "16")
_QUIET = "log-level=none"
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration={}")


def shot(
    width: int = 320,
    height: int = 180,
    rate: str = "25",
    seconds: float = 2,
    *,
    black: float = 0,
    number: str = "N",
) -> str:
    """FFmpeg's description of the picture, in RGB; for `black` seconds there is nothing to see first."""
    boxes = ",".join(
        f"drawbox=x={x}:y={y}:w=iw/2+1:h=ih/2+1:c=0x{bytes(CORNERS[at]).hex()}:t=fill"
        for at, x, y in ((1, "iw/2", "0"), (2, "0", "ih/2"), (3, "iw/2", "ih/2"))
    )
    bits = f"if(eq(X,{STRIPES - 1}),255,255*mod(floor(({number})/pow(2,X)),2))"
    dark = f",drawbox=c=black:t=fill:enable='lt(t,{black})'" if black else ""
    return (
        f"color=c=0x{bytes(CORNERS[0]).hex()}:s={width}x{height}:r={rate}:d={seconds},format=rgb24,{boxes}[corners];"
        f"nullsrc=s={STRIPES}x1:r={rate}:d={seconds},format=gray,geq=lum='{bits}',"
        f"scale={width}:{-(-height // 4)}:flags=neighbor,format=rgb24[stripes];"
        f"[corners][stripes]overlay=0:(H-h)/2:format=rgb{dark},format=gbrp"
    )


def yuv(matrix: str = "bt709", pixels: str = "yuv420p", value_range: str = "tv") -> str:
    """The filters to YUV of a matrix."""
    return (
        f"scale=flags=bicubic+accurate_rnd+full_chroma_int:out_color_matrix={matrix}:out_range={value_range},"
        f"format={pixels}"
    )


def hdr(transfer: str, pixels: str = "yuv420p10le") -> str:
    """The filters to HDR in which white is as bright as a sheet of paper, 203 cd/m²."""
    return (
        "format=gbrpf32le,zscale=tin=709:pin=709:min=gbr:rin=full:t=linear:npl=203:p=709:m=gbr,"
        f"zscale=tin=linear:pin=709:min=gbr:t={transfer}:p=2020:m=2020_ncl:r=limited:npl=203,format={pixels}"
    )


@dataclass(frozen=True)
class Video:
    """One recipe, and what is to be seen in what is made of it.

    Attributes:
        source: The picture.
        stored: Filters from it to what is encoded.
        coded: The encoder's arguments.
        sound: Seconds of sound; none: silent.
        frames: How many there are.
        size: As displayed.
        tolerance: Of a colour's channel, where a codec or a tone curve needs one.
        rotation: By which a player turns it.
        tags: Whether it tells where it was made, and by whom.
        numbers: Of its frames, where they don't count up from 0.
        chosen: Which of the picture's frames are to be seen in it, as an expression in `n`.
        before: What the picture is read with.
        extra: Other inputs.
    """

    source: str
    stored: str
    coded: tuple[str, ...]
    sound: float | None = 2
    frames: int = 50
    size: tuple[int, int] = (320, 180)
    tolerance: int = 12
    rotation: int = 0
    tags: bool = False
    numbers: tuple[int, ...] = ()
    chosen: str = "1"
    before: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def number(self, at: int) -> int:
        """The number that the frame at a place in the order of showing has in its stripes."""
        return self.numbers[at] if self.numbers else at


_TAGGED = Video(shot(), yuv(), (*X264, *BT709, "-c:a", "aac"))
_UPRIGHT = shot(180, 320)
_PQ = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv")
_HLG = ("-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc", "-color_range", "tv")
_SD = ("-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc", "smpte170m")


def _phone(degrees: int) -> Video:
    """Held upright, or upside down: the picture is stored as the sensor lies."""
    turned = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}[degrees]
    size = (320, 180) if degrees == 180 else (180, 320)
    return Video(
        shot(*size), f"{turned},{yuv()}", (*X264, *BT709, "-c:a", "aac"), size=size, rotation=degrees, tags=True
    )


VIDEOS: dict[str, Video] = {
    "h264.mp4": _TAGGED,
    "untagged.mp4": Video(shot(), yuv("smpte170m"), (*X264, "-c:a", "aac")),
    "untagged-hd.mp4": Video(
        shot(1280, 720, seconds=1.2), yuv("bt709"), (*X264, "-c:a", "aac"), sound=1.2, frames=30, size=(1280, 720)
    ),
    "full-range.mp4": Video(
        shot(), yuv("bt709", "yuvj420p", "pc"), (*X264, *BT709[:-1], "pc", "-c:a", "aac")
    ),
    "phone-90.mov": _phone(90),
    "phone-180.mov": _phone(180),
    "phone-270.mov": _phone(270),
    "hevc.mov": Video(
        shot(), yuv(), (*X265, "-x265-params", _QUIET, "-tag:v", "hvc1", *BT709, "-c:a", "aac"), tags=True
    ),
    "hdr10.mov": Video(
        shot(),
        hdr("smpte2084"),
        (*X265, "-x265-params", f"{_QUIET}:hdr10=1:max-cll=1000,400", "-tag:v", "hvc1", *_PQ, "-c:a", "aac"),
        tolerance=45,
    ),
    "hlg.mov": Video(
        shot(), hdr("arib-std-b67"), (*X265, "-x265-params", _QUIET, "-tag:v", "hvc1", *_HLG, "-c:a", "aac"),
        tolerance=45,
    ),
    "vp8.webm": Video(
        shot(), yuv("smpte170m"), ("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "2M", "-c:a", "libvorbis")
    ),
    "vp9.webm": Video(
        shot(), yuv(), ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "20", "-b:v", "0",
                        *BT709, "-c:a", "libopus")
    ),
    "vp9-hdr.webm": Video(
        shot(), hdr("smpte2084"), ("-c:v", "libvpx-vp9", "-profile:v", "2", "-deadline", "realtime", "-cpu-used", "8",
                                   "-crf", "20", "-b:v", "0", *_PQ, "-c:a", "libopus"),
        tolerance=45,
    ),
    "av1.webm": Video(shot(), yuv(), ("-c:v", "libsvtav1", "-preset", "12", "-crf", "20", *BT709, "-c:a", "libopus")),
    "prores.mov": Video(
        shot(), yuv("bt709", "yuv422p10le"), ("-c:v", "prores_ks", "-profile:v", "0", "-vf", _IN_FRAMES,
                                                     "-c:a", "pcm_s16le")
    ),
    "mjpeg.avi": Video(
        shot(), yuv("smpte170m", "yuvj420p", "pc"), ("-c:v", "mjpeg", "-q:v", "3", "-c:a", "pcm_u8")
    ),
    "mpeg4.avi": Video(shot(), yuv("smpte170m"), ("-c:v", "mpeg4", "-q:v", "3", "-bf", "2", "-c:a", "libmp3lame")),
    "h263.3gp": Video(
        shot(176, 144), f"{yuv('smpte170m')},setsar=12/11", ("-c:v", "h263", "-q:v", "3", "-c:a", "aac"),
        size=(192, 144), tags=True,
    ),
    "dv.avi": Video(
        shot(720, 576, seconds=0.24), f"{yuv('smpte170m')},setsar=64/45",
        ("-c:v", "dvvideo", "-flags", "+ilme+ildct", "-c:a", "pcm_s16le"),
        sound=0.24, frames=6, size=(1024, 576),
    ),
    "anamorphic.mp4": Video(
        shot(320, 240), f"{yuv('smpte170m')},setsar=4/3", (*X264, *_SD, "-c:a", "aac"), size=(427, 240)
    ),
    "uneven.mp4": Video(
        shot(), f"select='not(mod(n,5))+lt(mod(n,7),3)',{yuv()}", (*X264, *BT709, "-fps_mode", "vfr", "-c:a", "aac"),
        frames=28, numbers=tuple(number for number in range(50) if number % 5 == 0 or number % 7 < 3),
        chosen="not(mod(n,5))+lt(mod(n,7),3)",
    ),
    "interlaced.mp4": Video(
        # Numbers that grow by one and two: a field whose lowest bit never changes looks like a picture of lines.
        shot(320, 240, rate="50", number="N+floor(N/2)"),
        f"{yuv('smpte170m')},interlace=lowpass=off",
        (*X264, "-vf", "setfield=tff", "-flags", "+ilme+ildct", *_SD, "-c:a", "aac"),
        size=(320, 240), numbers=tuple(3 * number for number in range(50)), chosen="not(mod(n,2))",
    ),
    "odd.webm": Video(
        shot(321, 181), yuv(), ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "20", "-b:v",
                                "0", *BT709, "-c:a", "libopus"),
        size=(321, 181),
    ),
    "odd.mp4": Video(shot(321, 181), yuv("bt709", "yuv444p"), (*X264, *BT709, "-c:a", "aac"), size=(321, 181)),
    "single.mp4": Video(shot(), yuv(), (*X264, *BT709, "-frames:v", "1"), sound=None, frames=1),
    "silent.mp4": Video(shot(), yuv(), (*X264, *BT709), sound=None),
    "long-sound.mp4": Video(shot(seconds=0.6), yuv(), (*X264, *BT709, "-c:a", "aac"), sound=3, frames=15),
    "late.mp4": Video(
        shot(), yuv(), (*X264, *BT709, "-c:a", "aac", "-map", "0", "-map", "1", "-fps_mode", "passthrough"),
        sound=2.5,
        before=("-itsoffset", "0.5"),
    ),
    "late-sound.mkv": Video(
        shot(), yuv(), (*X264, *BT709, "-c:a", "aac", "-map", "0", "-map", "2"),
        extra=("-itsoffset", "0.5", *_TONE[:-1], "sine=duration=1.5"),
    ),
    "fragmented.mp4": Video(
        shot(), yuv(), (*X264, *BT709, "-g", "25", "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov")
    ),
    "b-frames.mkv": Video(
        shot(), yuv(), ("-c:v", "libx264", "-bf", "3", "-crf", "16", *BT709, "-c:a", "flac"), tags=True
    ),
    "50.mp4": Video(shot(rate="50"), yuv(), (*X264, *BT709, "-c:a", "aac"), frames=100),
    "59.94.mov": Video(shot(rate="60000/1001"), yuv(), (*X264, *BT709, "-c:a", "aac"), frames=120),
    "tracks.mkv": Video(
        shot(), yuv(), (*X264, *BT709, "-map", "0", "-map", "1", "-map", "1", "-c:a:0", "libopus", "-c:a:1", "aac")
    ),
    "cover.mp4": Video(
        shot(), yuv(), (*X264, *BT709, "-map", "2", "-map", "0", "-map", "1", "-c:v:0", "png",
                        "-disposition:v:0", "attached_pic", "-filter:v:0", "format=rgb24", "-c:a", "aac"),
        extra=("-f", "lavfi", "-i", "color=c=white:size=64x64:duration=0.04"),
    ),
}  # fmt: skip
NAMES = tuple(VIDEOS)


@cache
def video(name: str) -> bytes:
    """The file."""
    recipe = VIDEOS[name]
    sound = tuple(each.format(recipe.sound) for each in _TONE) if recipe.sound else ()
    picture = f"{recipe.source},{recipe.stored}"
    tags = TAGS if recipe.tags else ()
    made = av.made(name, *recipe.before, "-f", "lavfi", "-i", picture, *sound, *recipe.extra, *recipe.coded, *tags)
    return turned(made, recipe.rotation) if recipe.rotation else made


def turned(made: bytes, degrees: int, *, mirrored: bool = False) -> bytes:
    """Write into an MP4's or MOV's first track that a player is to turn it clockwise."""
    at = made.index(b"tkhd") + 4 + 40
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    if mirrored:
        a, c = -a, -c
    matrix = (a, b, 0, c, d, 0, 0, 0, 0x4000)
    return made[:at] + struct.pack(">9i", *(each * 0x10000 for each in matrix)) + made[at + 36 :]


@cache
def made_long() -> bytes:
    """Three seconds, which are three chunks of one."""
    picture = f"{shot(seconds=3)},{yuv()}"
    sound = tuple(each.format(3) for each in _TONE)
    return av.made("long.mp4", "-f", "lavfi", "-i", picture, *sound, *X264, *BT709, "-c:a", "aac")
