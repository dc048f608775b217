"""What a file is, from its own bytes: what it claims to be doesn't count.

Bytes of strangers are parsed in a decoder child alone. It says what the file is, or what else it must see; here those
bytes are read. An ordinary PDF or text takes one read of its head, what is told by its end or its tracks a few more:
0.2 ms a question, 0.06 ms of them this process's CPU.
"""

import re
from collections.abc import Awaitable, Callable

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from infra.decoder import DecodeRejected, DecoderPool

HEAD_BYTES = 4096
# A file that is no larger is read in one piece.
WHOLE_BYTES = 16 * 1024
MOST_READS = 12
MOST_BYTES = 56 * 1024  # of a packet to a child

UNKNOWN = "application/octet-stream"
EMPTY = "application/x-empty"

_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,126}/[a-z0-9][a-z0-9.+-]{0,126}")


class _Answer(BaseModel):
    """What a child may say: it is not trusted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    content_type: str = Field(default=UNKNOWN, max_length=255)
    need: list[int] | None = Field(default=None, min_length=2, max_length=2)

    def found(self) -> str:
        return self.content_type if _CONTENT_TYPE.fullmatch(self.content_type) else UNKNOWN


async def identify_content(pool: DecoderPool, size: int, read: Callable[[int, int], Awaitable[bytes]]) -> str:
    """Identify a file that is somewhere else, in as few reads as it takes.

    Args:
        pool: The decoder children.
        size: Its length in bytes.
        read: Gives `length` bytes from `offset`.

    Returns:
        The content type that was found: one of `schemas.types.TYPES`, or what else it is, so that a refusal can name
        it; `application/x-empty` without any bytes, `application/octet-stream` for what is nothing known.
        `text/plain` is text without a NUL, up to the end of its head, that no browser takes for markup and nothing
        runs as a script, whatever else it looks like; its encoding is for the probe to judge. All others begin with
        their own signature, so that nothing else stands before it.

    Raises:
        DecodeRejected: `polyglot`: it is something else as well; `truncated` or `corrupt`: a zip without its end,
            which says what it is; `bomb`: a zip that says it unpacks to too much; `decode_…`: the bytes killed or hung
            two children.
        DecoderUnavailable: No child could be started.
    """
    if size == 0:
        return EMPTY
    pieces = [(0, await read(0, size if size <= WHOLE_BYTES else HEAD_BYTES))]
    for _ in range(MOST_READS):
        answer = await _ask(pool, size, pieces)
        if answer.need is None:
            return answer.found()
        offset, length = answer.need
        known = sum(len(piece) for _, piece in pieces)
        if not (0 <= offset < offset + length <= size and known + length <= MOST_BYTES):
            break
        pieces.append((offset, await read(offset, length)))
    raise DecodeRejected("decode_crash", "the decoder asked for what isn't there")


async def identify_file(pool: DecoderPool, file: int) -> str:
    """Identify a file that is here, and look through all of it for what it may be as well.

    Args:
        pool: The decoder children.
        file: Its descriptor.

    Returns:
        The same as `identify_content`.

    Raises:
        DecodeRejected: The same, `polyglot` also where a file's middle says so.
        DecoderUnavailable: No child could be started.
    """
    return _validated(await pool.run("identify", file, _budget(pool))).found()


async def _ask(pool: DecoderPool, size: int, pieces: list[tuple[int, bytes]]) -> _Answer:
    spans: list[JsonValue] = [[offset, len(piece)] for offset, piece in pieces]
    inline = b"".join(piece for _, piece in pieces)
    args: dict[str, JsonValue] = {"size": size, "pieces": spans, **_budget(pool)}
    return _validated(await pool.run("identify", args=args, inline=inline))


def _budget(pool: DecoderPool) -> dict[str, JsonValue]:
    """How much a zip may say that it unpacks to; the probe holds it to that."""
    return {"max_bytes": pool.settings.max_archive_bytes, "max_ratio": pool.settings.max_archive_ratio}


def _validated(result: dict[str, JsonValue]) -> _Answer:
    try:
        return _Answer.model_validate(result)
    except ValidationError as error:
        raise DecodeRejected(
            "decode_crash", f"the decoder's result is impossible: {error.error_count()} errors"
        ) from error
