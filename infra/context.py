"""What a function gets beside its event."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.clamd import Clamd
from infra.decoder import DecoderPool
from infra.documents import Documents
from infra.ffmpeg import Ffmpeg
from infra.objects import Objects
from infra.originals import Originals
from infra.settings import Settings
from infra.speeds import Speeds
from schemas.document import TOMBSTONES, CloudEvent, event_name
from schemas.progress import Progress
from schemas.subjects import FIRST_RUN, happened, progress

PROGRESS_SECONDS = 0.5


class History(Protocol):
    """What the stream MEDIA remembers: "did this happen?" without a database."""

    async def last(self, *filters: str) -> list[CloudEvent]:
        """The last event of each subject that matches one of the filters (see `schemas.subjects`)."""
        ...

    async def past(self, filters: str, start: int) -> "list[tuple[int, CloudEvent]]":
        """Up to a few hundred events in order from a stream sequence on, with their sequences."""
        ...


class Cursors(Protocol):
    """Where a long pass over something got to, kept outside the function."""

    async def get(self, name: str) -> str | None:
        """The cursor, None at the beginning."""
        ...

    async def put(self, name: str, value: str) -> None:
        """Set it."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What all functions of a process share."""

    settings: Settings
    objects: Objects
    clamd: Clamd
    decoders: DecoderPool
    ffmpeg: Ffmpeg
    originals: Originals
    documents: Documents
    history: History
    cursors: Cursors
    signal: Callable[[str, bytes], Awaitable[None]]
    speeds: Speeds = field(default_factory=Speeds)


@dataclass(slots=True)
class Context:
    """One delivery's surroundings."""

    services: Services
    function: str
    media_id: str
    event_id: str
    run: str
    lane: str
    _said: float = field(default_factory=time.monotonic)

    async def progress(self, done: int, total: int, **more: Any) -> None:
        """Tell whoever watches how far this function is: what takes longer than half a second, twice a second.

        Never stored, never waited for.

        Args:
            done: bytes, frames or pages so far.
            total: of how many.
            more: what else `schemas.progress.Progress` knows: a piece, a product, renditions, an estimate.
        """
        now = time.monotonic()
        if now - self._said < PROGRESS_SECONDS:
            return
        self._said = now
        said = Progress(media_id=self.media_id, function=self.function, done=done, total=total, **more)
        await self.services.signal(progress(self.media_id), said.model_dump_json(exclude_none=True).encode())

    async def withdrawn(self) -> bool:
        """Whether the media was condemned or deleted: what would be made of it, nobody wants."""
        past = await self.history.last(*(happened(name, self.media_id) for name in TOMBSTONES))
        return any(event_name(fact) in TOMBSTONES for fact in past)

    @property
    def settings(self) -> Settings:
        """What the process was told."""
        return self.services.settings

    @property
    def objects(self) -> Objects:
        """MinIO; in a replay, a file that was promoted is read where it was promoted to."""
        return self.services.objects if self.run == FIRST_RUN else self.services.objects.for_replays()

    @property
    def clamd(self) -> Clamd:
        """ClamAV."""
        return self.services.clamd

    @property
    def decoders(self) -> DecoderPool:
        """Sandboxed children: the only place where a stranger's bytes are decoded."""
        return self.services.decoders

    @property
    def ffmpeg(self) -> Ffmpeg:
        """FFmpeg's programs, each run in a sandbox of its own."""
        return self.services.ffmpeg

    @property
    def originals(self) -> Originals:
        """Promoted originals as files on the local disk."""
        return self.services.originals

    @property
    def speeds(self) -> Speeds:
        """How fast this process was so far."""
        return self.services.speeds

    @property
    def documents(self) -> Documents:
        """MongoDB."""
        return self.services.documents

    @property
    def history(self) -> History:
        """What happened, as the stream remembers it."""
        return self.services.history

    @property
    def cursors(self) -> Cursors:
        """Where long passes got to."""
        return self.services.cursors
