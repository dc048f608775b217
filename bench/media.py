"""Pictures, sound, films and office documents as people have them, made by the programs that people use."""

import io
import random
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pillow_heif
from docx import Document
from PIL import Image, ImageDraw

PHOTO = (2048, 1536)
_MAKER, _MODEL, _ORIENTATION, _TAKEN = 0x010F, 0x0110, 0x0112, 0x0132
LANDSCAPE = "testsrc2=size=640x360:rate=30"
TONE = "sine=frequency=440:sample_rate=48000"


def photo() -> bytes:
    """A JPEG as a phone takes it, on its side, with EXIF that says so."""
    exif = Image.Exif()
    exif[_MAKER], exif[_MODEL], exif[_ORIENTATION], exif[_TAKEN] = "Tidegate", "Sample", 6, "2026:01:01 12:00:00"
    return _saved(_picture(PHOTO), "JPEG", quality=85, exif=exif)


def png() -> bytes:
    """A screenshot: few colours, some of it transparent."""
    picture = Image.new("RGBA", (800, 600), (250, 250, 250, 255))
    draw = ImageDraw.Draw(picture)
    for number in range(12):
        draw.rounded_rectangle((20 + 60 * number, 40, 70 + 60 * number, 560), 8, (0, 20 * number, 120, 200))
    return _saved(picture, "PNG")


def heic() -> bytes:
    """A picture as an iPhone keeps it."""
    pillow_heif.register_heif_opener()  # pyright: ignore[reportUnknownMemberType] - its options
    return _saved(_picture((1024, 768)), "HEIF", quality=60)


def mp3(title: str = "A tone") -> bytes:
    """Three seconds of sound with a title."""
    return _ffmpeg("mp3", "-f", "lavfi", "-i", TONE, "-t", "3", "-b:a", "128k", "-metadata", f"title={title}")


def mp4(seconds: float = 3, comment: str | None = None) -> bytes:
    """A film for the web: H.264 and AAC, its index in front."""
    return _film("mp4", seconds, "-movflags", "+faststart", comment=comment)


def mov() -> bytes:
    """A film as a phone takes it: upright, so it is stored on its side."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sideways.mov")
        path.write_bytes(_film("mov", 2))
        # FFmpeg turns a track only when it copies it.
        return _ffmpeg("mov", "-i", str(path), "-c", "copy", "-map_metadata", "0", "-metadata:s:v:0", "rotate=90")


def truncated_mp4() -> bytes:
    """Two thirds of a film: an upload that stopped."""
    whole = mp4(6)
    return whole[: len(whole) * 2 // 3]


def playlist() -> bytes:
    """A playlist that a careless player would open a local file for."""
    return b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


def docx(text: str = "Files arrive from strangers.") -> bytes:
    """A letter."""
    document = Document()
    document.add_heading("A letter", 1)
    for _ in range(10):
        document.add_paragraph(text)
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def docx_with(name: str, content: bytes) -> bytes:
    """A letter with a zip in it that holds a file."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    written = io.BytesIO(docx())
    with zipfile.ZipFile(written, "a", zipfile.ZIP_DEFLATED) as letter:
        letter.writestr("word/media/attachment.zip", inner.getvalue())
    return written.getvalue()


def _picture(size: tuple[int, int]) -> Image.Image:
    """Hills in fog, with noise that no other picture has: scanners remember what they have seen."""
    width, height = size
    box = (0, 0, 256, 256)
    fog = Image.linear_gradient("L").transform(size, Image.Transform.EXTENT, box)
    noise = Image.effect_noise((width // 16, height // 16), 80)
    hills = noise.transform(size, Image.Transform.EXTENT, (0, 0, *noise.size), Image.Resampling.BICUBIC)
    picture = Image.merge("RGB", (fog, hills, Image.blend(fog, hills, 0.5)))
    ImageDraw.Draw(picture).text((20, 20), f"{random.SystemRandom().getrandbits(64):016x}")
    return picture


def _saved(picture: Image.Image, form: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, form, **options)
    return written.getvalue()


def _film(extension: str, seconds: float, *options: str, comment: str | None = None) -> bytes:
    inputs = ("-f", "lavfi", "-i", LANDSCAPE, "-f", "lavfi", "-i", TONE, "-t", f"{seconds:g}")
    mark = f"comment={comment or f'{random.SystemRandom().getrandbits(64):016x}'}"
    codecs = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-metadata", mark)
    return _ffmpeg(extension, *inputs, *codecs, *options)


def _ffmpeg(extension: str, *options: str) -> bytes:
    """What FFmpeg makes; through a file, since an MP4's index is written last."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"made.{extension}")
        command = ("ffmpeg", "-nostdin", "-loglevel", "error", *options, str(path))
        subprocess.run(command, check=True)  # noqa: S603  a command line of our own
        return path.read_bytes()
