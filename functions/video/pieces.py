"""What the functions that make a stream ask of its work in progress: what exists is the state."""

from collections.abc import Mapping
from dataclasses import dataclass

from events.budget import cores
from infra.context import Context
from schemas.document import event_name
from schemas.events import Planned
from schemas.plan import SOUND_FACTS, Plan, Rung, lost, piece, work_key
from schemas.subjects import happened

MOST_THREADS = 4
"""Of one decoder or encoder: more share little of one picture's work, and each costs address space."""
PRODUCT = "stream"


@dataclass(frozen=True, slots=True)
class Pieces:
    """A plan's pieces that lie in MinIO, by name, and how many bytes each has."""

    plan: Plan
    sizes: Mapping[str, int]

    def has(self, rung: Rung, chunk: int) -> bool:
        """Whether one is there."""
        return piece(chunk, rung.name) in self.sizes

    @property
    def lost(self) -> tuple[str, ...]:
        """What says how many frames are lost, of each chunk that lacks any."""
        return tuple(name for name in map(lost, range(self.plan.chunks)) if name in self.sizes)

    def share(self, rung: Rung) -> float:
        """How much of a rung is there, from 0 to 1."""
        return sum(self.has(rung, chunk) for chunk in range(self.plan.chunks)) / self.plan.chunks

    @property
    def has_sound(self) -> bool:
        """Whether the sound is there, or there is none to come."""
        return self.plan.sound is None or SOUND_FACTS in self.sizes

    def whole(self, *rungs: Rung) -> bool:
        """Whether all there is to package of these rungs is there, the sound included."""
        return self.has_sound and all(self.has(rung, chunk) for rung in rungs for chunk in range(self.plan.chunks))


async def pieces(event: Planned, ctx: Context) -> Pieces:
    """What is there now."""
    prefix = work_key(event.media.media_id, event.plan.hash, "")
    return Pieces(event.plan, {entry.key.removeprefix(prefix): entry.size async for entry in ctx.objects.list(prefix)})


async def is_wanted(event: Planned, ctx: Context) -> bool:
    """Whether anybody still waits for the stream: no hour is spent on a video that was deleted, or can't be made.

    A piece that failed for our own fault may be retried, so the others go on.
    """
    if await ctx.withdrawn():
        return False
    refused = await ctx.history.last(happened("skipped", event.media.media_id, PRODUCT))
    return not any(event_name(fact) == "skipped" and fact["run"] == ctx.run for fact in refused)


def threads(ctx: Context) -> int:
    """How many threads a decoder or encoder gets: half as many again as cores, as x264 wants them, and one of one core.

    All that this process may use, whatever `cpu` says: what is idle is a background's as well.
    """
    allowed = int(ctx.settings.cpu_budget or cores())
    return min(MOST_THREADS, allowed * 3 // 2) if allowed > 1 else 1
