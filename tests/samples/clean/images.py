"""Photos, drawings and screenshots, by Pillow and libheif."""

import random
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pillow_heif
from PIL import Image, ImageDraw, PngImagePlugin

from tests.samples.clean.sample import Sample

XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"%s/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_SIDE = (160, 120)


def photo(seed: int = 1, size: tuple[int, int] = _SIDE) -> Image.Image:
    """A picture with gradients, edges and noise, as from a lens."""
    picture = Image.linear_gradient("L").transform(size, Image.Transform.EXTENT, (0, 0, 256, 256))
    picture = Image.merge("RGB", (picture, picture.rotate(90), picture.rotate(180)))
    draw, chance = ImageDraw.Draw(picture), random.Random(seed)
    for _ in range(30):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        draw.ellipse((x, y, x + 12, y + 9), fill=tuple(chance.randrange(256) for _ in range(3)))
    noise = Image.effect_noise(size, 40).convert("RGB")
    return Image.blend(picture, noise, 0.2)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    """A picture in one of Pillow's formats."""
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def samples() -> Iterator[Sample]:
    """Every image type in the ways it is usually made."""
    for name, body in {**_jpegs(), "samsung": _samsung(), "padded": encoded(photo(), "JPEG") + bytes(512)}.items():
        yield Sample(f"{name}.jpg", "image/jpeg", body)
    for name, body in _pngs().items():
        yield Sample(f"{name}.png", "image/png", body)
    for name, body in _gifs().items():
        yield Sample(f"{name}.gif", "image/gif", body)
    for name, body in _webps().items():
        yield Sample(f"{name}.webp", "image/webp", body)
    for name, body in _tiffs().items():
        yield Sample(f"{name}.tif", "image/tiff", body)
    for name, mode in {"rgb": "RGB", "grey": "L", "palette": "P", "bits": "1"}.items():
        yield Sample(f"{name}.bmp", "image/bmp", encoded(photo().convert(mode), "BMP"))
    for name, body in _heifs().items():
        yield Sample(f"{name}.heic", "image/heic", body)
    for name, options in {"still": {}, "lossless": {"quality": 100}, "exif": {"exif": _exif()}}.items():
        yield Sample(f"{name}.avif", "image/avif", encoded(photo(), "AVIF", speed=10, **options))
    frames = [photo(seed) for seed in range(3)]
    moving = encoded(frames[0], "AVIF", speed=10, save_all=True, append_images=frames[1:], duration=100)
    yield Sample("moving.avif", "image/avif", moving)


def _exif() -> bytes:
    exif = Image.Exif()
    exif.update({0x010F: "Camera & Sons", 0x0110: "One <b>", 0x0112: 6, 0x0132: "2026:11:25 12:00:00", 0x9286: "<3"})
    return exif.tobytes()


def _jpegs() -> dict[str, bytes]:
    large = photo(2, (1200, 900))
    plain = encoded(photo(), "JPEG")
    return {
        "baseline": plain,
        "progressive": encoded(large, "JPEG", progressive=True, quality=90),
        "exif": encoded(large, "JPEG", exif=_exif()),
        "xmp": encoded(photo(), "JPEG", xmp=XMP % b"", exif=_exif()),
        "grey": encoded(photo().convert("L"), "JPEG"),
        "cmyk": encoded(photo().convert("CMYK"), "JPEG"),
        "444": encoded(photo(), "JPEG", subsampling=0, quality=100),
        "optimized": encoded(photo(), "JPEG", optimize=True),
        "icc": encoded(photo(), "JPEG", icc_profile=bytes(range(256)) * 300),
        "remark": encoded(photo(), "JPEG", comment=b"CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 75"),
        "restarts": encoded(large, "JPEG", restart_marker_rows=1),
        "multi-picture": encoded(photo(), "MPO", save_all=True, append_images=[photo(3), photo(4)]),
        "gain-map-after-padding": plain + bytes(7) + encoded(photo().convert("L"), "JPEG"),
        "raw-preview": plain[:-2] + b"\xff\xff\xff\xd9",
    }


def _samsung() -> bytes:
    """The trailer that every photo of a Galaxy has: named blocks, and a directory that is read from the end."""
    said = b"1732536000000"
    block = struct.pack("<HHI", 0, 0x0A01, 14) + b"Image_UTC_Data" + said
    directory = b"SEFH" + struct.pack("<II", 106, 1) + struct.pack("<HHII", 0, 0x0A01, len(block), len(block))
    return encoded(photo(), "JPEG", exif=_exif()) + block + directory + struct.pack("<I", len(directory)) + b"SEFT"


def motion_photo(movie: bytes) -> bytes:
    """A photo with the seconds around it behind it, as Google's camera makes it."""
    return encoded(photo(), "JPEG", xmp=XMP % b' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"') + movie


def _pngs() -> dict[str, bytes]:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", "gnome-screenshot")
    texts.add_text("Comment", "a < b, 100% <3")
    texts.add_itxt("XML:com.adobe.xmp", (XMP % b"").decode())
    texts.add_itxt("Description", "x" * 3000, zip=True)
    texts.add_text("Author", "y" * 3000, zip=True)
    frames = [photo(seed) for seed in range(4)]
    large = photo(5, (800, 600))
    return {
        "truecolour": encoded(photo(), "PNG"),
        "large": encoded(large, "PNG"),
        "alpha": encoded(photo().convert("RGBA"), "PNG"),
        "palette": encoded(photo().quantize(64), "PNG"),
        "grey": encoded(photo().convert("L"), "PNG"),
        "sixteen-bits": encoded(photo().convert("I;16"), "PNG"),
        "bits": encoded(photo().convert("1"), "PNG"),
        "texts": encoded(photo(), "PNG", pnginfo=texts),
        "exif": encoded(photo(), "PNG", exif=_exif(), dpi=(144, 144)),
        "animated": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=80),
    }


def _gifs() -> dict[str, bytes]:
    frames = [photo(seed) for seed in range(5)]
    return {
        "still": encoded(photo(), "GIF"),
        "animated": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0),
        "transparent": encoded(photo().convert("RGBA").quantize(32), "GIF", transparency=0),
        "remark": encoded(photo(), "GIF", comment=b"Created with GIMP"),
        "sixty-one-wide": encoded(photo(1, (61, 61)), "GIF"),  # the width is `=` and a zero
        "ninety-six-wide": encoded(photo(1, (96, 96)), "GIF"),
    }


def _webps() -> dict[str, bytes]:
    frames = [photo(seed) for seed in range(3)]
    return {
        "lossy": encoded(photo(), "WEBP"),
        "lossless": encoded(photo(), "WEBP", lossless=True),
        "alpha": encoded(photo().convert("RGBA"), "WEBP"),
        "exif": encoded(photo(), "WEBP", exif=_exif(), xmp=XMP % b""),
        "animated": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=90),
    }


def _tiffs() -> dict[str, bytes]:
    return {
        "raw": encoded(photo(), "TIFF"),
        "lzw": encoded(photo(), "TIFF", compression="tiff_lzw"),
        "deflate": encoded(photo(), "TIFF", compression="tiff_adobe_deflate"),
        "jpeg": encoded(photo(), "TIFF", compression="jpeg"),
        "fax": encoded(photo().convert("1"), "TIFF", compression="group4"),
        "pages": encoded(photo(), "TIFF", save_all=True, append_images=[photo(2)]),
        "big-endian": encoded(photo().convert("I;16B"), "TIFF"),
    }


def _heifs() -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    heif: Any = pillow_heif  # its types are partly unknown
    for name, options in {"still": {}, "exif": {"exif": _exif(), "xmp": XMP % b""}, "fine": {"quality": 95}}.items():
        buffer = BytesIO()
        heif.from_pillow(photo()).save(buffer, **options)
        made[name] = buffer.getvalue()
    both = heif.from_pillow(photo())
    both.add_from_pillow(photo(2))
    buffer = BytesIO()
    both.save(buffer)
    made["burst"] = buffer.getvalue()
    return made
