"""The decoders' document jobs, with validated answers."""

import os
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from infra.decoder.errors import DecodeRejected
from infra.decoder.pool import DecoderPool
from schemas.probe import PdfProbe, TextProbe

MAX_PAGES = 5000
TEXT_BYTES_PER_SECOND = 20 * 1024 * 1024  # a sixth of what one core was measured to read

_Probe = TypeVar("_Probe", PdfProbe, TextProbe)


async def probe_pdf(pool: DecoderPool, file: int, *, max_pages: int = MAX_PAGES) -> PdfProbe:
    """Open a PDF in a decoder child.

    Args:
        pool: The decoder children.
        file: Descriptor of the whole document.
        max_pages: The most pages a document may have.

    Raises:
        DecodeRejected: `truncated`, `corrupt`, `encrypted`, `too_many_pages`, `decode_…`.
        DecoderUnavailable: No child could be started.
    """
    return _validated(PdfProbe, await pool.run("pdf", file, {"max_pages": max_pages}))


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
    return _validated(TextProbe, await pool.run("text", file, timeout=seconds))


def _validated(model: type[_Probe], result: dict[str, JsonValue]) -> _Probe:
    try:
        return model.model_validate(result)
    except ValidationError as error:
        raise DecodeRejected(
            "decode_crash", f"the decoder's result is impossible: {error.error_count()} errors"
        ) from error
