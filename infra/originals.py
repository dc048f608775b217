"""Files of strangers on the local disk: fetched once for all functions of a process that read one at the same time.

What `scan` has sent through ClamAV `probe` opens, and what `probe` has read pictures are made of, where they run in one
process: the same SHA-256 is the same bytes, wherever they lie by then.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.decoder import named, unnamed_file, write_all
from infra.objects import MIB, Objects
from schemas.objects import ObjectRef

LINGER_SECONDS = 10.0
"""How long a copy outlives its last reader: the functions of one media begin one after another."""
LINGERING = 256
"""How many do, the newest: each is an open file, of which a process may have 1,024, and 140 documents come a second."""
PASSED_ON_BYTES = 32 * MIB
"""What is scanned of more than this is fetched again by who reads it next: to fetch it costs little beside the scan."""
PASSED_ON_BYTES_TOGETHER = 128 * MIB
"""The disk that a burst of small files may take, of which nobody knows yet whether this process will read them."""

Progress = Callable[[int, int], Awaitable[None]]


class Changed(Exception):
    """A file isn't what it was: its SHA-256 is another."""


@dataclass(slots=True)
class Original:
    """A file on the local disk, for reading alone, as long as its `with` block lasts.

    Attributes:
        file: Its descriptor, for decoders; the offset is nobody's.
    """

    file: int
    _held: ExitStack
    _path: Path | None = None

    @property
    def path(self) -> Path:
        """Its name, for programs that open files by name."""
        if self._path is None:
            self._path = self._held.enter_context(named(self.file))
        return self._path


@dataclass(slots=True)
class _Copy:
    """One file on disk, or on its way there."""

    held: ExitStack
    original: Original
    fetching: asyncio.Future[None]
    passed_on: int = 0
    readers: int = 0
    dropping: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Passing:
    """A file that is on its way through this process: what is written may be kept for who reads it next."""

    _file: int | None = None
    _keep: Callable[[ObjectRef], None] | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; where there is no space for them, none are kept."""
        if self._file is not None:
            try:
                write_all(self._file, chunk)
            except OSError:
                self._file = None

    def keep(self, ref: ObjectRef) -> None:
        """Keep what was written, under the reference that has its SHA-256."""
        if self._file is not None and self._keep is not None:
            self._keep(ref)


@dataclass(slots=True)
class Originals:
    """The files that this process reads now.

    Attributes:
        objects: MinIO.
        directory: Where copies live; default: the system's directory for temporary files.
        passed_on: Whether somebody in this process reads what passes through it.
    """

    objects: Objects
    directory: Path | None = None
    passed_on: bool = True
    _passing: int = 0
    _copies: dict[str, _Copy] = field(default_factory=dict[str, _Copy])

    @asynccontextmanager
    async def open(
        self, ref: ObjectRef, objects: Objects | None = None, *, progress: Progress | None = None
    ) -> AsyncGenerator[Original]:
        """Have the whole of a file on the local disk.

        Args:
            ref: Where it lies, and its SHA-256.
            objects: Through which view of MinIO it is fetched, if it isn't here; default: the process's own.
            progress: Is told the bytes that are here, of how many, while they are fetched for this reader.

        Raises:
            Gone: There are no bytes.
            DependencyDown: MinIO doesn't answer.
            Changed: What lies there has another SHA-256.
            OSError: No space.
        """
        known = ref.sha256 or f"{ref.key}@{ref.version_id}"
        while (copy := self._copies.get(known)) and not _failed(copy):
            with self._read(known, copy):
                # Another's object that had the same bytes may be gone by now, which says nothing about this one.
                await asyncio.wait([copy.fetching])
                if not _failed(copy):
                    yield copy.original
                    return
        copy = self._copies[known] = self._begin(ref, objects or self.objects, progress)
        with self._read(known, copy):
            await asyncio.shield(copy.fetching)
            yield copy.original

    @contextmanager
    def _read(self, known: str, copy: _Copy) -> Generator[None]:
        copy.readers += 1
        if copy.dropping:
            copy.dropping.cancel()
            copy.dropping = None
        try:
            yield
        finally:
            copy.readers -= 1
            if not copy.readers:
                if not copy.fetching.done() or _failed(copy):
                    self._drop(known, copy)
                else:
                    self._linger(known, copy)

    @contextmanager
    def passing(self, size: int) -> Generator[Passing]:
        """Take down a file that is read for something else, so that it can be opened without being fetched again.

        Nothing is kept of what is too large, where too much is kept already, or without space; whoever opens it
        fetches it then.

        Args:
            size: Its bytes.

        Yields:
            What takes the bytes; to `keep` them, under the reference that has their SHA-256, is the caller's word that
            all were written.
        """
        together = self._passing + sum(copy.passed_on for copy in self._copies.values())
        if not self.passed_on or size > PASSED_ON_BYTES or together + size > PASSED_ON_BYTES_TOGETHER:
            yield Passing()
            return
        with ExitStack() as held:
            try:
                file = _file(held, self.directory)
            except OSError:
                yield Passing()
                return

            def keep(ref: ObjectRef) -> None:
                assert ref.sha256 is not None
                if ref.sha256 in self._copies:
                    return
                here = asyncio.get_running_loop().create_future()
                here.set_result(None)
                kept = held.pop_all()
                copy = self._copies[ref.sha256] = _Copy(kept, Original(file, kept), here, passed_on=size)
                self._linger(ref.sha256, copy)

            self._passing += size
            try:
                yield Passing(file, keep)
            finally:
                self._passing -= size

    async def aclose(self) -> None:
        """Remove every copy."""
        for known, copy in list(self._copies.items()):
            self._drop(known, copy)
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await copy.fetching

    def _begin(self, ref: ObjectRef, objects: Objects, progress: Progress | None) -> _Copy:
        held = ExitStack()
        file = _file(held, self.directory)
        return _Copy(held, Original(file, held), asyncio.create_task(_fetch(ref, file, objects, progress)))

    def _linger(self, known: str, copy: _Copy) -> None:
        copy.dropping = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._drop, known, copy)
        if len(self._copies) <= LINGERING:
            return
        lingering = [(each.dropping.when(), name) for name, each in self._copies.items() if each.dropping]
        if len(lingering) > LINGERING:
            _, oldest = min(lingering)
            self._drop(oldest, self._copies[oldest])

    def _drop(self, known: str, copy: _Copy) -> None:
        if copy.dropping:
            copy.dropping.cancel()
        if self._copies.get(known) is copy:
            del self._copies[known]
        if copy.fetching.done():
            copy.held.close()
        else:
            # It may be about to write: its descriptor's number must not be another file's by then.
            copy.fetching.add_done_callback(lambda _: copy.held.close())
            copy.fetching.cancel()


def _failed(copy: _Copy) -> bool:
    return copy.fetching.done() and (copy.fetching.cancelled() or copy.fetching.exception() is not None)


def _file(held: ExitStack, directory: Path | None) -> int:
    file = unnamed_file(directory)
    held.callback(os.close, file)
    return file


async def _fetch(ref: ObjectRef, file: int, objects: Objects, progress: Progress | None) -> None:
    digest, size = hashlib.sha256(), 0
    async with objects.open(ref) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
            write_all(file, chunk)
            size += len(chunk)
            if progress and size < ref.size:
                await progress(size, ref.size)
    if ref.sha256 is not None and digest.hexdigest() != ref.sha256:
        raise Changed(f"{ref.key} has the SHA-256 {digest.hexdigest()}, not {ref.sha256}")
