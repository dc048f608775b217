"""From `promoted` to `planned` and a `cut` for each piece: how a video becomes a stream is decided once."""

from collections.abc import AsyncIterator

from events.errors import Reject
from events.failpoints import failpoint
from events.registry import function
from functions.video.pieces import PRODUCT
from infra.context import Context
from infra.video.cutting import Cutting
from infra.video.planning import make_plan
from schemas.events import Cut, Planned, Promoted
from schemas.plan import TABLE, Plan, work_key
from schemas.probe_av import VideoProbe


@function(
    on=Promoted, kinds=("video",), products=(PRODUCT,), timeout=3600, concurrency=4, cpu=1, background=True, lanes=True
)
async def plan_video(event: Promoted, ctx: Context) -> AsyncIterator[Planned | Cut]:
    """Read when each frame is shown, choose sizes, and cut: what is to be playable first goes first.

    A video of one chunk is decoded once for all its sizes. Of a longer one the playable size is encoded on its own
    first, which decodes it a second time: a tenth more work, so that a film can be played after a tenth of it.
    """
    if all(product.name != PRODUCT for product in event.products) or await ctx.withdrawn():
        return
    if not isinstance(event.probe, VideoProbe):
        raise Reject("type_mismatch", "There is no video in it: request the upload with its real type.")
    async with ctx.originals.open(event.original) as original:
        plan, cutting = await make_plan(
            ctx.ffmpeg, original.path, event.original, event.identity, event.probe, ctx.settings.video
        )
    await ctx.objects.put(
        work_key(event.media.media_id, plan.hash, TABLE),
        cutting.table.model_dump_json().encode(),
        content_type="application/json",
    )
    failpoint("plan_video.stored")
    planned = Planned.after(event, plan=plan)
    yield planned
    for cut in _cuts(planned, plan, cutting):
        yield cut


def _cuts(planned: Planned, plan: Plan, cutting: Cutting) -> list[Cut]:
    names = tuple(rung.name for rung in plan.rungs)
    passes = [names] if plan.chunks == 1 or len(names) == 1 else [names[:1], names[1:]]
    wanted = [(chunk, each) for each in passes for chunk in cutting.chunks]
    return [Cut.after(planned, number=number, chunk=chunk, rungs=rungs) for number, (chunk, rungs) in enumerate(wanted)]
