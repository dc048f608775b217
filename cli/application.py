"""Tidegate put together: what the runtime is told about media, and the services its functions use."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

from pydantic_core import from_json

from cli.vocabulary import by_type
from events.application import Application, Outgoing, Source
from events.attempts import Policy
from events.budget import cores
from events.bus import Bus, Message
from events.dead import DeadLetter
from events.envelope import Envelope, Event, derive_id, root_span, schema_uri
from events.errors import Reject, Unreadable
from events.registry import Function
from events.streams import Retention
from infra.clamd import Clamd
from infra.context import Context, Services
from infra.decoder import DecodeRejected, DecoderPool, DecoderUnavailable
from infra.documents import Documents
from infra.errors import DependencyDown, Gone
from infra.ffmpeg import Ffmpeg
from infra.objects import Objects
from infra.originals import Originals
from infra.records import known_fold
from infra.settings import Settings
from schemas.document import TERMINAL_STATES, CloudEvent
from schemas.events import Failed, MediaEvent, Planned, Promoted, Rejected, Skipped
from schemas.model import LANES
from schemas.notification import Notification
from schemas.profiles import Profiles
from schemas.subjects import Subject

CURSORS = "cursors"
PAST_PAGE = 256


class StreamHistory:
    """The stream MEDIA, asked."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def last(self, *filters: str) -> list[CloudEvent]:
        """The last event of each subject that matches a filter."""
        return [from_json(stored.data) for stored in await self._bus.last("MEDIA", filters)]

    async def past(self, filters: str, start: int) -> list[tuple[int, CloudEvent]]:
        """Up to 256 events in order from a sequence on."""
        page: list[tuple[int, CloudEvent]] = []
        async for stored in self._bus.read("MEDIA", [filters], start=start):
            page.append((stored.sequence, from_json(stored.data)))
            if len(page) == PAST_PAGE:
                break
        return page


class KvCursors:
    """Cursors in a KV bucket."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, name: str) -> str | None:
        """The cursor."""
        value = await self._bus.kv_get(CURSORS, name)
        return value.decode() if value else None

    async def put(self, name: str, value: str) -> None:
        """Set it."""
        await self._bus.kv_put(CURSORS, name, value.encode())


@asynccontextmanager
async def services(settings: Settings, bus: Bus, *, probes: bool = True) -> AsyncGenerator[Services]:
    """Connect the services of a function process; decoder children are started.

    Args:
        settings: Of the process.
        bus: To NATS.
        probes: Whether what is scanned here may be probed here.
    """
    decoders, ffmpeg = DecoderPool(settings), Ffmpeg(settings)
    documents = Documents.from_settings(settings)
    async with Objects.from_settings(settings) as objects:
        originals = Originals(objects, settings.work_dir, passed_on=probes)
        try:
            await decoders.start()
            await ffmpeg.start()
            yield Services(
                settings=settings,
                objects=objects,
                clamd=Clamd.from_settings(settings),
                decoders=decoders,
                ffmpeg=ffmpeg,
                originals=originals,
                documents=documents,
                history=StreamHistory(bus),
                cursors=KvCursors(bus),
                signal=bus.signal,
            )
        finally:
            await decoders.aclose()
            await originals.aclose()
            await documents.aclose()


def policy(settings: Settings) -> Policy:
    """The runtime's policy, from the settings."""
    return Policy(
        attempts=settings.attempts,
        suspect_after=settings.suspect_after,
        retry_base=settings.retry_base_seconds,
        retry_max=settings.retry_max_seconds,
        ack_wait=settings.ack_wait_seconds,
        grace=settings.grace_seconds,
        cpu_budget=settings.cpu_budget or cores(),
    )


def retention(settings: Settings) -> Retention:
    """What streams keep, from the settings."""
    return Retention(
        media=settings.media_retention_seconds,
        duplicate_window=settings.duplicate_window_seconds,
        replicas=settings.replicas,
    )


def application(shared: Services | None = None) -> Application:
    """What the runtime is told, once functions are loaded.

    Without services (provisioning, drawing the graph) no handler can run.

    Raises:
        FunctionsUnusable: one's events can't be told from others.
    """
    profiles: Profiles = shared.settings.profiles if shared else {}

    def context(function: Function, envelope: Envelope) -> Context:
        assert shared is not None
        return Context(shared, function.name, envelope.subject, envelope.id, envelope.run, envelope.lane)

    async def gone(function: Function, envelope: Envelope, event: Any, _error: Any) -> Event | None:
        """No bytes exist: that ends the delivery; only a media that has not ended has failed."""
        assert shared is not None
        # Its state, not its terminal events: an upload that came late has `abandoned` behind it and has not ended.
        fold = await known_fold(envelope.subject, shared.history, shared.objects)
        if fold.tombstones and function.products:
            # What it may have left is removed after its last word.
            return _skipped(
                profiles, function, event, "gone", "The media was deleted or condemned while this was made."
            )
        if fold.state() in TERMINAL_STATES:
            return None
        return Failed(
            media=event.media,
            function=function.name,
            code="gone",
            error="The uploaded object is gone and nothing was promoted from it: upload the file again.",
            object=getattr(event, "object", None),
            identity=getattr(event, "identity", None),
        )

    # Who only provisions or asks needs the lanes' names alone.
    weights: dict[str, float] = shared.settings.lane_weights if shared else dict.fromkeys(LANES, 1.0)
    return Application(
        models=by_type(),
        subject=subject,
        filters=filters,
        context=context,
        outcomes={Reject: partial(rejected, profiles), DecodeRejected: partial(rejected, profiles), Gone: gone},
        failed=partial(failed, profiles),
        unavailable=(DependencyDown, DecoderUnavailable),
        probes={
            "minio": shared.objects.alive,
            "clamd": shared.clamd.ping,
            "mongo": shared.documents.alive,
        }
        if shared
        else {},
        sources={Notification: Source("UPLOADS", ("minio.>",), notified)},
        encoders={Notification: announced},
        lanes=weights,
    )


def subject(event: Event, envelope: Envelope) -> str:
    """Where an event is published in MEDIA."""
    media = cast("MediaEvent", event)
    return str(Subject(media.event, media.known_kind(), envelope.lane, envelope.subject, envelope.run, envelope.part))


def filters(model: type[Any], kinds: tuple[str, ...], lane: str) -> tuple[str, ...]:
    """The subjects that carry an event, in all lanes or in one; a base class stands for every event."""
    name = cast("type[MediaEvent]", model).event if model is not MediaEvent else "*"
    if lane:
        return tuple(f"media.{name}.{kind}.{lane}.>" for kind in kinds or ("*",))
    if name == "*":
        return ("media.>",)
    return tuple(f"media.{name}.{kind}.>" for kind in kinds) or (f"media.{name}.>",)


async def rejected(profiles: Profiles, function: Function, _envelope: Envelope, event: Any, error: Any) -> Event | None:
    """A function's refusal, as an event: of a promoted file it refuses one product, not the file."""
    refusal = cast("Reject", error)
    if function.products:
        return _skipped(profiles, function, event, refusal.code, refusal.reason[:2000])
    return Rejected(
        media=event.media,
        object=event.object,
        function=function.name,
        code=cast("Any", refusal.code),
        reason=refusal.reason[:2000],
        identity=getattr(event, "identity", None),
        verdict=getattr(event, "verdict", None),
    )


def _skipped(profiles: Profiles, function: Function, event: Any, code: str, reason: str) -> Skipped:
    product = function.products[0]
    return Skipped(
        media=event.media,
        identity=event.identity,
        product=product,
        required=is_required(profiles, event, product),
        code=code,
        reason=reason,
    )


def failed(profiles: Profiles, function: Function, _envelope: Envelope, event: Any, letter: DeadLetter) -> Event | None:
    """The event that says a function gave up on a media."""
    if not isinstance(event, MediaEvent):
        return None
    return Failed(
        media=event.media,
        function=function.name,
        products=function.products,
        required=not function.products or any(is_required(profiles, event, product) for product in function.products),
        dead_letter=letter.letter_id,
        error=f"{letter.error}: {letter.message}"[:2000],
        object=getattr(event, "object", None),
        identity=getattr(event, "identity", None),
    )


def is_required(profiles: Profiles, event: MediaEvent, product: str) -> bool:
    """Whether a media is of no use without a product; one that it wasn't promised is required of nobody."""
    if isinstance(event, Promoted | Planned):
        return any(each.required for each in event.products if each.name == product)
    # What follows from another product's outcome: the promise isn't in it, and the profile is what it was made from.
    return getattr(profiles.get(event.known_kind()), product, "none") == "required"


def notified(message: Message) -> tuple[Envelope, Notification]:
    """A notification as a function's input: its id is of (bucket, key, version id), however often it is said.

    Raises:
        Unreadable: it is no notification.
    """
    try:
        notification = Notification.parse(message.data)
    except ValueError as error:
        raise Unreadable(f"not a bucket notification: {error}") from error
    event_id = derive_id("notification", notification.bucket, notification.key, notification.version_id)
    media_id = notification.key.rpartition("/")[2]
    return (
        Envelope(
            id=event_id,
            type="tidegate.notification.v1",
            source="/minio",
            subject=media_id if re.fullmatch(r"[0-9a-f-]{36}", media_id) else "foreign",
            time=notification.time,
            dataschema=schema_uri("tidegate.notification.v1"),
            traceparent=root_span(event_id),
            lane="standard",
            run="0",
            part="receive",
            data=notification,
        ),
        notification,
    )


def announced(output: Any, cause: Envelope) -> Outgoing:
    """A notification that nobody else sent."""
    notification = cast("Notification", output)
    return Outgoing("minio.sweep", notification.payload(), f"sweep/{cause.id}/{notification.version_id}")
