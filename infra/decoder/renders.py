"""The decoders' jobs that make something to look at or to read, with validated answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from infra.decoder.answers import validated
from infra.decoder.child.words import plain
from infra.decoder.errors import DecodeRejected
from infra.decoder.output import Output, Written
from infra.decoder.pool import DecoderPool

Coding = Literal["webp", "jpeg", "png"]
CODINGS: dict[Coding, tuple[str, str]] = {
    "webp": ("image/webp", "webp"),
    "jpeg": ("image/jpeg", "jpg"),
    "png": ("image/png", "png"),
}
"""By coding: content type and extension."""

_Side = Annotated[int, Field(ge=1, le=65_535)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Pictures(_Answer):
    width: _Side
    height: _Side
    files: list[Written]
    pages: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class _Text(_Answer):
    text: Annotated[str, Field(max_length=1000)]


class Picture(BaseModel):
    """A picture that a decoder made."""

    model_config = ConfigDict(frozen=True)

    coding: Coding
    width: int
    height: int
    content: bytes

    @property
    def content_type(self) -> str:
        """Its media type."""
        return CODINGS[self.coding][0]

    @property
    def extension(self) -> str:
        """What its name ends in, without the dot."""
        return CODINGS[self.coding][1]


async def render_cover(
    pool: DecoderPool, file: int, *, longest: int, quality: int, codings: tuple[Coding, ...] = ("webp", "jpeg")
) -> list[Picture]:
    """Render a picture that is attached to a sound.

    Args:
        pool: The decoder children.
        file: Descriptor of the picture.
        longest: Its longer side in pixels, at most.
        quality: From 1 to 100.
        codings: What to code it in.

    Raises:
        DecodeRejected: `corrupt`, `truncated`, `too_many_pixels`, `bomb`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    args: dict[str, JsonValue] = {
        "max_pixels": pool.settings.max_image_pixels,
        "longest": longest,
        "quality": quality,
        "codings": list(codings),
    }
    _, pictures = await _pictures(pool, "cover", file, args, codings)
    return pictures


async def render_first_page(
    pool: DecoderPool, file: int, *, longest: int, dpi: int, quality: int, codings: tuple[Coding, ...]
) -> tuple[int, list[Picture]]:
    """Render a PDF's first page, and count its pages.

    Args:
        pool: The decoder children.
        file: Descriptor of the document.
        longest: The page's longer side in pixels, at most.
        dpi: Dots an inch, at most.
        quality: From 1 to 100.
        codings: What to code it in.

    Raises:
        DecodeRejected: `corrupt`, `encrypted`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    args: dict[str, JsonValue] = {"longest": longest, "dpi": dpi, "quality": quality, "codings": list(codings)}
    return await _pictures(pool, "page", file, args, codings)


async def draw_peaks(
    pool: DecoderPool, columns: bytes, *, height: int, color: str, background: str, coding: Coding
) -> Picture:
    """Draw a waveform.

    Args:
        pool: The decoder children.
        columns: The lowest and the highest value of each column, as signed bytes.
        height: Of the picture in pixels.
        color: Of the waveform, as `#rrggbb` or `#rrggbbaa`.
        background: Behind it.
        coding: What to code it in.

    Raises:
        DecoderUnavailable: No child could be started.
    """
    args: dict[str, JsonValue] = {"height": height, "color": color, "background": background, "coding": coding}
    _, (picture,) = await _pictures(pool, "waveform", None, args, (coding,), inline=columns)
    return picture


async def read_first_words(pool: DecoderPool, file: int, content_type: str, most: int) -> str:
    """Read how a document begins.

    Args:
        pool: The decoder children.
        file: Descriptor of the document.
        content_type: `application/pdf` or `text/plain`.
        most: Characters at most, up to 1000.

    Returns:
        Fit to be shown; empty where there is no text.

    Raises:
        DecodeRejected: `corrupt`, `encrypted`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    job = "pdf_excerpt" if content_type == "application/pdf" else "text_excerpt"
    said = await pool.run(job, file, {"most": most})
    # Once more: what the child said of the text may be a stranger's doing.
    return plain(validated(_Text, said).text, most)


async def _pictures(
    pool: DecoderPool,
    job: str,
    file: int | None,
    args: dict[str, JsonValue],
    codings: tuple[Coding, ...],
    *,
    inline: bytes = b"",
) -> tuple[int, list[Picture]]:
    with Output() as output:
        said = validated(_Pictures, await pool.run(job, file, args, inline=inline, output=output))
        try:
            return said.pages, [
                Picture(coding=coding, width=said.width, height=said.height, content=output.read(each))
                for coding, each in zip(codings, said.files, strict=True)
            ]
        except ValueError as error:
            raise DecodeRejected("decode_crash", "the decoder's files are not where it says") from error
