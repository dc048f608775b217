"""Originals on the local disk: fetched once for all functions of a process that read one at the same time.

What `probe` has read of a picture is what its sizes are made of, where both run in one process: the same SHA-256 is the
same bytes, wherever they lie by then.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.decoder import write_all
from infra.objects import Objects
from infra.workspace import workspace
from schemas.objects import ObjectRef

LINGER_SECONDS = 10.0
"""How long a copy outlives its last reader: the functions of one media begin one after another."""


class Changed(Exception):
    """An original isn't what was promoted: its SHA-256 is another."""


@dataclass(slots=True)
class _Copy:
    """One original on disk, or on its way there."""

    files: ExitStack
    path: Path
    fetching: asyncio.Task[None]
    readers: int = 0
    dropping: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Originals:
    """The originals that this process reads now.

    Attributes:
        objects: MinIO.
        directory: Where copies live; default: the system's directory for temporary files.
    """

    objects: Objects
    directory: Path | None = None
    _copies: dict[str, _Copy] = field(default_factory=dict[str, _Copy])

    @asynccontextmanager
    async def open(self, ref: ObjectRef, objects: Objects | None = None) -> AsyncGenerator[Path]:
        """Have the whole original as a file, for reading alone.

        Args:
            ref: Where it lies, and its SHA-256.
            objects: Through which view of MinIO it is fetched, if it isn't here; default: the process's own.

        Raises:
            Gone: There are no bytes.
            DependencyDown: MinIO doesn't answer.
            Changed: What lies there isn't what was promoted.
            OSError: No space.
        """
        known = ref.sha256 or f"{ref.key}@{ref.version_id}"
        copy = self._copies.get(known)
        if copy is None or (copy.fetching.done() and (copy.fetching.cancelled() or copy.fetching.exception())):
            copy = self._copies[known] = self._begin(ref, objects or self.objects)
        copy.readers += 1
        if copy.dropping:
            copy.dropping.cancel()
            copy.dropping = None
        try:
            await asyncio.shield(copy.fetching)
            yield copy.path
        finally:
            copy.readers -= 1
            if not copy.readers:
                failed = not copy.fetching.done() or copy.fetching.cancelled() or copy.fetching.exception()
                loop = asyncio.get_running_loop()
                if failed:
                    self._drop(known, copy)
                else:
                    copy.dropping = loop.call_later(LINGER_SECONDS, self._drop, known, copy)

    async def aclose(self) -> None:
        """Remove every copy."""
        for known, copy in list(self._copies.items()):
            if copy.dropping:
                copy.dropping.cancel()
            self._drop(known, copy)
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await copy.fetching

    def _begin(self, ref: ObjectRef, objects: Objects) -> _Copy:
        files = ExitStack()
        path = files.enter_context(workspace(self.directory)) / "original"
        return _Copy(files, path, asyncio.create_task(self._fetch(ref, path, objects)))

    async def _fetch(self, ref: ObjectRef, path: Path, objects: Objects) -> None:
        digest = hashlib.sha256()
        # Unbuffered: each write is one call of a quarter of a megabyte into the page cache.
        with path.open("wb", buffering=0) as file:
            async with objects.open(ref) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    write_all(file.fileno(), chunk)
        if ref.sha256 is not None and digest.hexdigest() != ref.sha256:
            raise Changed(f"{ref.key} has the SHA-256 {digest.hexdigest()}, and {ref.sha256} was promoted")

    def _drop(self, known: str, copy: _Copy) -> None:
        copy.fetching.cancel()
        copy.files.close()
        if self._copies.get(known) is copy:
            del self._copies[known]
