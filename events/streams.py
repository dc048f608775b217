"""The streams, and the consumer of each function: what `tidegate provision` makes."""

from collections.abc import Iterable
from dataclasses import dataclass

from events import attempts, dead, ticks
from events.application import Application
from events.bus import BucketSpec, Bus, Change, ConsumerSpec, Source, StreamSpec
from events.dead import EVENT_STREAM
from events.invoke import filter_of
from events.lanes import consumer_names, lane_consumer
from events.registry import Function, Tick

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """What operators may set. Times in seconds."""

    media: float = 7 * DAY
    uploads: float = 7 * DAY
    dead: float = 90 * DAY
    duplicate_window: float = 600.0
    replicas: int = 1


def streams(retention: Retention) -> list[StreamSpec]:
    """The five streams (limits retention, file storage)."""
    window, replicas = retention.duplicate_window, retention.replicas
    return [
        StreamSpec("UPLOADS", ("minio.>",), retention.uploads, window, replicas=replicas),
        StreamSpec("MEDIA", ("media.>", "invoke.>"), retention.media, window, replicas=replicas),
        StreamSpec(
            "EVENTS",
            (),
            retention.media,
            window,
            replicas=replicas,
            # Without media_id, run and part its index stays small. Made again from MEDIA, it needs no fsync.
            source=Source("MEDIA", "media.*.*.*.*.*.*", "events.{{wildcard(1)}}.{{wildcard(2)}}"),
            fsync=False,
        ),
        StreamSpec(dead.STREAM, ("dead.>",), retention.dead, window, replicas=replicas),
        # Not one a subject: NATS takes a message that is replaced for acknowledged, and hands out the next one though
        # somebody still works on it. What waited in vain is passed over (`ticks.superseded`). No age: the last one says
        # which slot is done, and a schedule may be monthly.
        StreamSpec(ticks.STREAM, ("tick.>",), 0, window, max_per_subject=1_000, replicas=replicas),
    ]


def stream_of(function: Function, application: Application) -> str:
    """The stream a function's consumer reads.

    Raises:
        ValueError: its inputs come from several streams.
    """
    found = {
        ticks.STREAM
        if model is Tick
        else application.sources[model].stream
        if model in application.sources
        else EVENT_STREAM
        for model in function.inputs
    }
    if len(found) != 1:
        raise ValueError(f"{function.name} takes inputs from {sorted(found)}: split it, a consumer reads one stream")
    return found.pop()


def consumers(function: Function, application: Application, ack_wait: float) -> list[ConsumerSpec]:
    """A function's durable consumers, one a lane where it has lanes: what it takes, and what is given to it alone.

    Raises:
        ValueError: its inputs come from several streams, or from one that knows no lanes.
    """
    stream = stream_of(function, application)
    if function.lanes and stream != EVENT_STREAM:
        raise ValueError(f"{function.name} has lanes, and what it takes from {stream} has none")
    names = consumer_names(function, application.lanes)
    # Given lanes, or none any more, it goes on where it was.
    before = () if function.lanes else tuple(lane_consumer(function.name, lane) for lane in application.lanes)
    return [
        ConsumerSpec(
            stream,
            name,
            _subjects(function, application, lane, stream),
            ack_wait=ack_wait,
            # Room for delayed naks beside what runs, so that failing files don't starve good ones.
            max_ack_pending=1
            if function.every is not None
            else max(5_000, 4 * function.concurrency * max(function.batch, 1)),
            description=(function.handler.__doc__ or "").strip().split("\n")[0][:200],
            after=before or (function.name,),
        )
        for lane, name in names.items()
    ]


def _subjects(function: Function, application: Application, lane: str, stream: str) -> tuple[str, ...]:
    subjects: list[str] = []
    for model in function.inputs:
        if model is Tick:
            subjects.append(ticks.subject_of(function.name))
        elif model in application.sources:
            subjects.extend(application.sources[model].subjects)
        else:
            subjects.extend(application.filters(model, function.kinds, lane))
    if stream == EVENT_STREAM:
        subjects.append(filter_of(function.name, lane))
    return tuple(subjects)


async def provision(
    bus: Bus,
    application: Application,
    functions: Iterable[Function],
    retention: Retention,
    ack_wait: float,
    *,
    prune: bool = False,
) -> list[Change]:
    """Make everything the functions need; report each thing, and delete what isn't known only with `prune`."""
    return await bus.provision(
        streams(retention),
        [spec for function in functions for spec in consumers(function, application, ack_wait)],
        buckets=[
            BucketSpec(attempts.BUCKET, retention.media, retention.replicas),
            BucketSpec("cursors", 0, retention.replicas),
        ],
        prune=prune,
    )
