"""A picture's pixels as libvips images: upright, in sRGB with 8 bits a channel, no larger than is wanted.

libvips decodes what it can shrink while it decodes, or read strip by strip: a JPEG at an eighth costs a third, a PNG of
100 megapixels a few megabytes. What it can't read as browsers do (HEVC, BMP, the frames of an animation) Pillow
decodes, which has read the same pixels before, when the file was let in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import Image, ImageFile

from . import image as pillow
from .colours import in_srgb
from .vips import pyvips

# Frames that last less are taken for a mistake: browsers show them for 100 ms.
_SHORTEST_MILLISECONDS = 11
_MISTAKEN_MILLISECONDS = 100
# Pixels. Its transparency alone may take 400 MB to decode, which leaves no room for more of it than is wanted.
_HUGE_WEBP = 50_000_000
# Pixels. Pillow makes a GIF larger for a frame that reaches beyond it; browsers show what is within.
_LARGEST_GROWN = 16_000_000
_EXTRA_SAMPLES, _ALPHA = 338, frozenset({1, 2})  # TIFF 6.0, section 18: associated, and not
_UPRIGHT = 1
_SWAPPED_FROM = 5
_MEANT = {"L": "b-w", "CMYK": "cmyk", "RGB": "srgb", "RGBA": "srgb"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a picture.

    Attributes:
        format: What it is coded in.
        orientation: How it has to be turned, as probing found: tag 274 of EXIF.
        width, height: Its sides as stored, before it is turned.
        longest: The longer side that is enough.
    """

    format: str
    orientation: int
    width: int
    height: int
    longest: float

    @property
    def shrink(self) -> float:
        """How many times smaller it may be; 1 at least: nothing is enlarged."""
        return max(1.0, max(self.width, self.height) / self.longest)


def still(file: int, wanted: Wanted) -> Any:
    """The picture, or the first of several, in memory.

    Raises:
        pyvips.Error: Nobody can read it.
    """
    try:
        if (image := _opened(file, wanted)) is not None:
            return _finished(image, _as_stored(image, wanted))
    except pyvips.Error:
        pass  # what Pillow has let in is shown all the same
    with open(file, "rb", closefd=False) as stream:
        return _finished(_handed_over(_loaded(stream, wanted), wanted.shrink), wanted)


def frames(file: int, wanted: Wanted, total: int, most: int) -> Iterator[tuple[Any, int]]:
    """An animation's frames as they are seen, each with the milliseconds it is shown for.

    Of more than `most` every second, third, … is left out, and the ones before them stay for longer.
    """
    with open(file, "rb", closefd=False) as stream:
        image = _loaded(stream, wanted)
        # A PNG may begin with a picture for those who show no animations.
        begin = 1 if getattr(image, "default_image", False) else 0
        step = -(-(total - begin) // most)
        frame, shown, size = None, 0, image.size
        for number in range(begin, total):
            Image.MAX_IMAGE_PIXELS = _LARGEST_GROWN
            image.seek(number)
            image.load()
            if (number - begin) % step == 0:
                if frame is not None:
                    yield frame, shown
                seen = image.crop((0, 0, *size)) if image.size != size else image
                frame, shown = _finished(_handed_over(seen, wanted.shrink), wanted), 0
            lasts = round(float(image.info.get("duration") or 0))
            shown += lasts if lasts >= _SHORTEST_MILLISECONDS else _MISTAKEN_MILLISECONDS
        yield frame, shown


def repeats(file: int, wanted: Wanted) -> int:
    """How often an animation is shown; 0: without end."""
    with open(file, "rb", closefd=False) as stream:
        said = _loaded(stream, wanted).info.get("loop")
    if wanted.format == "gif":
        # It says how often it is shown again, and nothing where it is shown once.
        return 1 if said is None else int(said) and int(said) + 1
    return int(said or 0)


def _loaded(stream: BinaryIO, wanted: Wanted) -> ImageFile.ImageFile:
    # As many pixels as probing has let in; what it is until now is another picture's.
    Image.MAX_IMAGE_PIXELS = wanted.width * wanted.height
    stream.seek(0)
    return Image.open(stream, formats=pillow.FORMATS[wanted.format][0])


def _opened(file: int, wanted: Wanted) -> Any:
    """The picture as libvips reads it; None: it doesn't."""
    source = pyvips.Source.new_from_descriptor(file)
    match wanted.format:
        case "jpeg":
            # Twice as large as wanted at least: the rest is for a better filter.
            shrink = next((times for times in (8, 4, 2) if wanted.shrink >= 2 * times), 1)
            return pyvips.Image.jpegload_source(source, access="sequential", shrink=shrink)
        case "webp":
            times = 1 if wanted.width * wanted.height > _HUGE_WEBP else 2
            return pyvips.Image.webpload_source(source, access="sequential", scale=min(1.0, times / wanted.shrink))
        case "png":
            return pyvips.Image.pngload_source(source, access="sequential")
        case "gif":
            return pyvips.Image.gifload_source(source, access="sequential")
        case "tiff":
            image = pyvips.Image.tiffload_source(source, access="sequential")
            return image if _is_alpha_meant(file, wanted) else _without_extras(image)
        case _:
            return None


def _is_alpha_meant(file: int, wanted: Wanted) -> bool:
    """Whether a TIFF's channels beyond its colours are transparency: libvips takes a mask or a spot colour for it."""
    with open(file, "rb", closefd=False) as stream:
        tags: Any = getattr(_loaded(stream, wanted), "tag_v2", {})
        return bool(set(tags.get(_EXTRA_SAMPLES, _ALPHA)) & _ALPHA)


def _without_extras(image: Any) -> Any:
    colours = 1 if image.interpretation in {"b-w", "grey16"} else 4 if image.interpretation == "cmyk" else 3
    return image.extract_band(0, n=min(colours, image.bands))


def _as_stored(image: Any, wanted: Wanted) -> Wanted:
    """Pillow turns a TIFF as it decodes it, and so says nothing of how it lies in the file."""
    if wanted.format != "tiff" or not image.get_typeof("orientation"):
        return wanted
    orientation = image.get("orientation")
    sides = (wanted.height, wanted.width) if orientation >= _SWAPPED_FROM else (wanted.width, wanted.height)
    return replace(wanted, orientation=orientation, width=sides[0], height=sides[1])


def _handed_over(image: Image.Image, shrink: float) -> Any:
    """Pillow's pixels, given to libvips."""
    profile = image.info.get("icc_profile")
    wide = image.mode.startswith("I;16")
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif not wide and image.mode not in _MEANT:
        image = image.convert("RGB")
    if int(shrink) > 1 and image.mode in {"L", "RGB", "CMYK"}:
        # Before they are copied: 100 megapixels take 400 MB as it is.
        image = image.reduce(int(shrink))
    bands, form = len(image.getbands()), "ushort" if wide else "uchar"
    made = pyvips.Image.new_from_memory(image.tobytes(), image.width, image.height, bands, form)
    made = made.copy(interpretation="grey16" if wide else _MEANT[image.mode])
    if profile:
        made.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return made


def _finished(image: Any, wanted: Wanted) -> Any:
    """Made small, then given its colours, then turned: each costs the less the fewer pixels there are."""
    width, height = (max(1, round(side / wanted.shrink)) for side in (wanted.width, wanted.height))
    small = resized(image, width, height).copy_memory()
    coloured = in_srgb(small)
    if wanted.orientation == _UPRIGHT:
        return coloured.copy_memory()
    turned = coloured.copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", wanted.orientation)
    return turned.autorot().copy_memory()


def resized(image: Any, width: int, height: int) -> Any:
    """Exactly so large; what is transparent has no part in its neighbours' colours."""
    if (width, height) == (image.width, image.height):
        return image
    across, down = width / image.width, height / image.height
    if not image.hasalpha():
        return image.resize(across, vscale=down)
    return image.premultiply().resize(across, vscale=down).unpremultiply().cast(image.format)
