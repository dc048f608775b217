"""Pictures of our own making, coded: pixels and nothing else."""

from io import BytesIO

from PIL import Image

SLOWER = 4  # WebP's method: https://developers.google.com/speed/webp/docs/cwebp


def saved(image: Image.Image, coding: str, quality: int | None) -> bytes:
    """Code a picture as `webp`, `png` or `jpeg`; where JPEG can't be transparent, white shows through.

    Args:
        image: The picture.
        coding: What as.
        quality: From 1 to 100; none: without any loss, as WebP and PNG can.
    """
    if coding == "jpeg" and image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    # A picture in memory alone: what its file said (EXIF, XMP, comments, profiles) would be written along.
    bare = Image.frombytes(image.mode, image.size, image.tobytes())
    written = BytesIO()
    match coding:
        case "jpeg":
            bare.save(written, "JPEG", quality=quality, optimize=True, progressive=True)
        case "png":
            bare.save(written, "PNG", optimize=True)
        case _:
            bare.save(written, "WEBP", quality=quality or 80, method=SLOWER, lossless=quality is None)
    return written.getvalue()


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The size of a picture whose longer side is so many pixels at most: no larger than it is, no side without any."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
