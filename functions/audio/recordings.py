"""A promoted sound, as the functions of its products read it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from events.errors import Reject
from infra.context import Context
from infra.ffmpeg.recording import Recording
from infra.settings import MIB
from schemas.events import Promoted
from schemas.probe_av import AudioProbe

QUICK_SECONDS = 300.0
QUICK_BYTES = 64 * MIB
"""What is longer or larger is work for the background. Both bound what somebody quick may have to wait for: five
minutes of stereo take nine seconds of one core, five minutes of WAV are 55 MiB. A voice message of half a minute is
ready while a video is being encoded; a recording of twelve hours, which takes twenty minutes, holds nobody up."""

MOMENTS = 1000  # progress is said in thousandths


def is_quick(event: Promoted) -> bool:
    """Whether somebody waits for it: a voice message or a song, not a lecture."""
    assert isinstance(event.probe, AudioProbe)
    return event.probe.duration_seconds <= QUICK_SECONDS and event.original.size <= QUICK_BYTES


@asynccontextmanager
async def recording(event: Promoted, ctx: Context) -> AsyncGenerator[Recording]:
    """The original's sound track that is used, on the local disk.

    Raises:
        Reject: There is no sound track that can be read.
        Gone: There are no bytes.
    """
    assert isinstance(event.probe, AudioProbe)
    if not event.probe.audio:
        raise Reject("unsupported_codec", "There is no sound in the file that can be read.")
    async with ctx.originals.open(event.original) as original:
        yield Recording(original.path, event.identity.content_type, event.probe.audio[0], event.probe.duration_seconds)


def telling(ctx: Context) -> Callable[[float], Awaitable[None]]:
    """What says how far a function is, to whoever watches."""

    async def tell(part: float) -> None:
        await ctx.progress(round(part * MOMENTS), MOMENTS)

    return tell
