"""The decoders' jobs that say what a file is, with validated answers."""

import os

from pydantic import JsonValue

from infra.decoder.answers import validated
from infra.decoder.pool import DecoderPool
from schemas.probe import ImageProbe, OfficeProbe, PdfProbe, TextProbe
from schemas.types import TYPES

TEXT_BYTES_PER_SECOND = 20 * 1024 * 1024  # a sixth of what one core was measured to read
PIXELS_PER_SECOND = 25_000_000  # half of what one core was measured to decode of HEIC, the slowest; JPEG: 240 million
UNPACKED_BYTES_PER_SECOND = 100 * 1024 * 1024  # a tenth of what one core was measured to unpack of text

# Where our name of a format isn't the extension.
_FORMATS = {"jpg": "jpeg", "tif": "tiff"}


async def probe_pdf(pool: DecoderPool, file: int, *, max_pages: int | None = None) -> PdfProbe:
    """Open a PDF in a decoder child.

    Args:
        pool: The decoder children.
        file: Descriptor of the whole document.
        max_pages: The most pages a document may have; default: `settings.max_pages`.

    Raises:
        DecodeRejected: `truncated`, `corrupt`, `encrypted`, `too_many_pages`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    return validated(PdfProbe, await pool.run("pdf", file, {"max_pages": max_pages or pool.settings.max_pages}))


async def probe_text(pool: DecoderPool, file: int) -> TextProbe:
    """Read a plain text in a decoder child, from its first byte to its last, in constant memory.

    Args:
        pool: The decoder children.
        file: Descriptor of the whole text; a large one gets more time.

    Raises:
        DecodeRejected: `not_text`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    seconds = pool.timeout + os.fstat(file).st_size / TEXT_BYTES_PER_SECOND
    return validated(TextProbe, await pool.run("text", file, timeout=seconds))


async def probe_image(pool: DecoderPool, file: int, content_type: str) -> ImageProbe:
    """Decode every pixel of an image in a decoder child, within the settings' budget of pixels and frames.

    Args:
        pool: The decoder children.
        file: Descriptor of the whole image.
        content_type: What it was identified as.

    Raises:
        DecodeRejected: `truncated`, `corrupt`, `bomb`, `too_many_pixels`, `too_many_frames`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    settings = pool.settings
    args: dict[str, JsonValue] = {
        "format": _format(content_type),
        "max_pixels": settings.max_image_pixels,
        "max_frames": settings.max_image_frames,
        "max_total_pixels": settings.max_image_total_pixels,
    }
    seconds = pool.timeout + settings.max_image_total_pixels / PIXELS_PER_SECOND
    return validated(ImageProbe, await pool.run("image", file, args, timeout=seconds))


async def probe_office(pool: DecoderPool, file: int, content_type: str) -> OfficeProbe:
    """Unpack an office document or EPUB in a decoder child, within the settings' budget for archives.

    Args:
        pool: The decoder children.
        file: Descriptor of the whole document.
        content_type: What it was identified as.

    Raises:
        DecodeRejected: `truncated`, `corrupt`, `encrypted`, `bomb`, `active_content` (macros, scripts, parts fetched
            from elsewhere), `type_mismatch` (its manifest says otherwise), `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    settings = pool.settings
    args: dict[str, JsonValue] = {
        "format": _format(content_type),
        "max_entries": settings.max_archive_entries,
        "max_bytes": settings.max_archive_bytes,
        "max_ratio": settings.max_archive_ratio,
    }
    seconds = pool.timeout + settings.max_archive_bytes / UNPACKED_BYTES_PER_SECOND
    return validated(OfficeProbe, await pool.run("office", file, args, timeout=seconds))


async def require_whole_ogg(pool: DecoderPool, file: int) -> None:
    """See in a decoder child that an Ogg file ends where its last page does, which FFprobe doesn't.

    Raises:
        DecodeRejected: `truncated`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    await pool.run("whole_ogg", file)


def _format(content_type: str) -> str:
    extension = TYPES[content_type].extension
    return _FORMATS.get(extension, extension)
