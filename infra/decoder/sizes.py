"""The decoders' jobs that make pictures of a picture and say what it looks like, with validated answers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from infra.decoder.errors import DecodeRejected
from infra.decoder.output import Output, Written
from infra.decoder.pool import DecoderPool
from infra.decoder.probes import PIXELS_PER_SECOND
from schemas.probe import ImageProbe
from schemas.profiles import ImageFormat, ImageProfile, SizeName
from schemas.renditions import ImageDescription

EFFORTS: dict[ImageFormat, int] = {"jpeg": 0, "webp": 2, "avif": 1}
"""How hard libvips's encoders try. WebP's default of 4 saves 3 % and takes twice the time; AVIF's of 4 saves 2 % and
takes thirty times the time (both on photos, libvips 8.18)."""
SECONDS_PER_MEGAPIXEL: dict[ImageFormat, float] = {"jpeg": 0.1, "webp": 0.5, "avif": 3.0}
"""What a file may take: ten times what one core was measured to."""
_TURNED_FROM = 5


class RenderedSize(BaseModel):
    """A file that was made, as the child says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    variant: SizeName
    format: ImageFormat
    width: int = Field(ge=1, le=8192)
    height: int = Field(ge=1, le=8192)
    frames: int = Field(ge=1, le=1000)
    written: Written


class _Rendered(BaseModel):
    files: Annotated[list[RenderedSize], Field(max_length=24)]


async def render_sizes(
    pool: DecoderPool, file: int, probe: ImageProbe, profile: ImageProfile, output: Output
) -> list[RenderedSize]:
    """Make every variant of a picture in each format, in a decoder child.

    Args:
        pool: The decoder children.
        file: Descriptor of the whole picture.
        probe: What probing found in it, which is not looked for again.
        profile: Which variants and formats.
        output: Takes the files.

    Returns:
        Each variant in each format exactly once.

    Raises:
        DecodeRejected: `corrupt`: libvips can't render what Pillow could read; `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    args: dict[str, JsonValue] = {
        **_stored(probe),
        "frames": probe.frames if probe.animated else 1,
        "variants": [each.model_dump(include={"name", "longest", "square"}) for each in profile.variants],
        "formats": [
            {"name": name, "quality": getattr(profile, f"{name}_quality"), "effort": EFFORTS[name]}
            for name in profile.formats
        ],
        "max_frames": profile.animation_frames,
        "max_pixels": profile.animation_pixels,
    }
    said = await pool.run("render", file, args, output=output, timeout=pool.timeout + _seconds(probe, profile))
    try:
        files = _Rendered.model_validate(said).files
    except ValidationError as error:
        raise DecodeRejected("decode_crash", f"the decoder's result is impossible: {error.error_count()}") from error
    expected = {(variant.name, form) for variant in profile.variants for form in profile.formats}
    if len(files) != len(expected) or {(each.variant, each.format) for each in files} != expected:
        raise DecodeRejected("decode_crash", "the decoder's result is impossible: other files than were asked for")
    return files


async def describe_image(pool: DecoderPool, file: int, probe: ImageProbe) -> ImageDescription:
    """Say in a few bytes what a picture looks like, in a decoder child.

    Args:
        pool: The decoder children.
        file: Descriptor of the whole picture.
        probe: What probing found in it.

    Raises:
        DecodeRejected: `corrupt`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    seconds = pool.timeout + probe.width * probe.height / PIXELS_PER_SECOND
    said = await pool.run("describe", file, _stored(probe), timeout=seconds)
    try:
        return ImageDescription.model_validate(said)
    except ValidationError as error:
        raise DecodeRejected("decode_crash", f"the decoder's result is impossible: {error.error_count()}") from error


def _stored(probe: ImageProbe) -> dict[str, JsonValue]:
    """How the pixels lie in the file: before they are turned."""
    sides = (probe.width, probe.height)
    width, height = sides[::-1] if probe.orientation >= _TURNED_FROM else sides
    return {"format": probe.format, "orientation": probe.orientation, "width": width, "height": height}


def _seconds(probe: ImageProbe, profile: ImageProfile) -> float:
    decoded = probe.width * probe.height * (probe.frames if probe.animated else 1)
    still = sum(min(variant.longest**2, probe.width * probe.height) for variant in profile.variants)
    moving = 2 * profile.animation_pixels if probe.animated else 0
    encoded = (SECONDS_PER_MEGAPIXEL[name] * (still + moving * (name == "webp")) for name in profile.formats)
    return decoded / PIXELS_PER_SECOND + sum(encoded) / 1e6
