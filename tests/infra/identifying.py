"""Files given to real decoder children, as `identify` and as `probe` give them."""

import os

from infra.decoder import DecodeRejected, DecoderPool, unnamed_file
from infra.magic import identify_content, identify_file


class Reader:
    """A file that is somewhere else, and what was read of it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.reads: list[tuple[int, int]] = []

    async def read(self, offset: int, length: int) -> bytes:
        """A ranged get."""
        self.reads.append((offset, length))
        return self.body[offset : offset + length]

    async def identify(self, pool: DecoderPool) -> str:
        """What `identify` finds."""
        return await identify_content(pool, len(self.body), self.read)


async def identified(pool: DecoderPool, body: bytes) -> str:
    """What `identify` finds, or the code that it refuses the file with."""
    try:
        return await Reader(body).identify(pool)
    except DecodeRejected as refusal:
        return refusal.code


async def identified_whole(pool: DecoderPool, body: bytes) -> str:
    """What `probe` finds, or the code that it refuses the file with."""
    file = unnamed_file()
    try:
        os.write(file, body)
        return await identify_file(pool, file)
    except DecodeRejected as refusal:
        return refusal.code
    finally:
        os.close(file)
