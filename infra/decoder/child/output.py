"""Where a job's files go: memory shared with the parent. Nothing else can be written to."""

import mmap
import os
from typing import Any

PAGE = mmap.PAGESIZE


class Output:
    """Files one after another, each at the beginning of a page."""

    def __init__(self, file: int) -> None:
        """Take the memory behind a descriptor; a negative one has room for nothing."""
        self.file = file
        self._room = os.fstat(file).st_size if file >= 0 else 0
        self._next = 0

    def write(self, content: bytes | memoryview) -> dict[str, Any]:
        """Write a file and say where it is, as `infra.decoder.output.Written` has it.

        Raises:
            MemoryError: There is no room left.
        """
        start, length = self._next, len(content)
        if length > self._room - start:
            raise MemoryError
        if length:
            with mmap.mmap(self.file, length, offset=start) as place:
                place[:] = content
        self._next = min(start + -(-length // PAGE) * PAGE, self._room)
        return {"start": start, "length": length}
