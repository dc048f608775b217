"""Bytes that a decoder child gives back: files in memory that both share, for as long as one job takes.

A child can write nowhere else, and what it says of itself is believed of nothing: the memory neither grows nor shrinks,
the parent reads it only once the job has ended, and only where the answer's places lie inside. What it has read is its
own copy: a child that was taken over may go on writing, and changes nothing.
"""

import fcntl
import os
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024 * 1024
OUTPUT_BYTES = 64 * MIB
"""All files of one job. Only what is written takes memory: the default sizes of a photograph are 2 MiB together, an
animation of 50 megapixels is 20; what comes near it was made to."""
SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Written(BaseModel):
    """Where in the output a file lies: a child's word, inside the output or refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start: int = Field(ge=0, le=OUTPUT_BYTES)
    length: int = Field(ge=0, le=OUTPUT_BYTES)


class Output:
    """The files that one job writes: give it to `DecoderPool.run`, then `read` what the answer names.

    Its memory is given back at the end of the `with` block.
    """

    def __init__(self, size: int = OUTPUT_BYTES) -> None:
        """Make room.

        Args:
            size: Bytes of all files together; a job that needs more is refused as `decode_memory`.
        """
        self.size = size
        self.file = _sealed(size)

    def renew(self) -> None:
        """Begin with nothing again, out of reach of whoever had the former memory."""
        os.close(self.file)
        self.file = _sealed(self.size)

    def read(self, written: Written) -> bytes:
        """A copy of one file.

        Raises:
            ValueError: It doesn't lie inside the output.
        """
        if written.start + written.length > self.size:
            raise ValueError(f"a file of {written.length} bytes at {written.start} lies outside {self.size}")
        read = os.pread(self.file, written.length, written.start)
        assert len(read) == written.length
        return read

    def close(self) -> None:
        """Give the memory back."""
        os.close(self.file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sealed(size: int) -> int:
    """Memory of a fixed size: no write, and no child, can make it longer, or shorter under a reader."""
    file = os.memfd_create("tidegate-output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(file, size)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(file)
        raise
    return file
