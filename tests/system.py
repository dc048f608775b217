"""Tidegate as its users meet it: real servers, real functions, uploads through presigned URLs."""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from pydantic_core import from_json
from uuid_utils import uuid7

from cli.application import application, policy, retention, services, subject
from cli.worker import chosen
from events.attempts import Policy
from events.bus import Bus, Stored
from events.envelope import HEADERS, Envelope, begin, derive_id, follow
from events.invoke import Invoke
from events.lanes import consumer_names
from events.nats import NatsBus
from events.nats_api import api
from events.nats_link import Link
from events.registry import Handler, registry
from events.streams import provision
from events.ticks import Ticker, subject_of
from events.worker import Worker
from infra.bucket import provision_bucket
from infra.context import Context, Services
from infra.documents import Documents
from infra.local.threaded import ThreadedStack
from infra.objects import Objects
from infra.presign import PostForm, PresignedPut, Presigner
from infra.settings import Settings
from schemas.document import CloudEvent, Fold, event_name
from schemas.events import MediaEvent, Requested
from schemas.media import Media
from schemas.profiles import AudioProfile, DocumentProfile, ImageProfile, VideoProfile
from schemas.subjects import everything, temp_key

PATIENCE = 30.0

NOTHING: dict[str, Any] = {
    "images": ImageProfile(sizes="none", description="none"),
    "video": VideoProfile(stream="none", poster="none", storyboard="none"),
    "audio": AudioProfile(sound="none", waveform="none", tags="none"),
    "documents": DocumentProfile(page="none"),
}
"""Profiles that promise nothing: `ready` follows `promoted`."""

FAST: dict[str, Any] = NOTHING | {
    "ack_wait_seconds": 3.0,
    "retry_base_seconds": 0.1,
    "retry_max_seconds": 0.5,
    "sweep_seconds": 3600.0,
    "decoder_processes": 1,
}
"""Settings that make failures come and go quickly; ticks are given by hand."""


@dataclass(slots=True)
class System:
    """A provisioned stack, seen by an operator, and by a client who uploads."""

    stack: ThreadedStack
    settings: Settings
    bus: Bus
    http: aiohttp.ClientSession
    objects: Objects
    """With the operator's credentials."""
    presigner: Presigner
    media_ids: list[str] = field(default_factory=list[str])

    async def request(
        self,
        body: bytes,
        content_type: str = "application/pdf",
        *,
        form: bool = False,
        expires: int = 900,
        lane: str = "standard",
        **facts: Any,
    ) -> tuple[str, PresignedPut | PostForm]:
        """Do what the gateway does: say `requested`, then sign the upload."""
        media_id = str(uuid7())
        now = datetime.now(UTC)
        known = {"owner": "alice", "filename": "file", "content_type": content_type, "size": len(body)}
        media = Media.model_validate({"media_id": media_id, "requested_at": now, **known, **facts})
        event = Requested(media=media, method="form" if form else "put", expires_at=now + timedelta(seconds=expires))
        envelope = begin(event, event_id=derive_id("requested", media_id), source="gateway", lane=lane)
        await self.bus.publish(subject(event, envelope), envelope.encode(), message_id=envelope.id, headers=HEADERS)
        self.media_ids.append(media_id)
        key = temp_key(media_id)
        if form:
            return media_id, self.presigner.post_policy(
                key, content_type=content_type, least=0, most=max(len(body), 1) * 2, expires=expires
            )
        return media_id, self.presigner.presign_put(key, content_type=content_type, size=len(body), expires=expires)

    async def send(self, where: PresignedPut | PostForm, body: bytes) -> int:
        """Upload to a signed URL or form; the HTTP status."""
        if isinstance(where, PresignedPut):
            # In pieces, as aiohttp wants it of what is large.
            data = io.BytesIO(body) if len(body) > 2**20 else body
            async with self.http.put(where.url, headers=where.headers, data=data) as response:
                return response.status
        form = aiohttp.FormData()
        for name, value in where.fields.items():
            form.add_field(name, value)
        form.add_field("file", body, filename="file")
        async with self.http.post(where.url, data=form) as response:
            return response.status

    async def upload(self, body: bytes, content_type: str = "application/pdf", **options: Any) -> str:
        """Request and upload; the media id."""
        media_id, where = await self.request(body, content_type, **options)
        status = await self.send(where, body)
        assert status in {200, 204}, status
        return media_id

    async def events(self, media_id: str) -> list[CloudEvent]:
        """Every event of a media, duplicates included, in the stream's order."""
        return [from_json(stored.data) async for stored in self.bus.read("MEDIA", [everything(media_id)])]

    async def event(self, media_id: str, name: str, run: str | None = None) -> CloudEvent | None:
        """The first event of this name (and run), if it happened."""
        return next(
            (
                event
                for event in await self.events(media_id)
                if event_name(event) == name and run in {None, event["run"]}
            ),
            None,
        )

    async def happens(self, media_id: str, name: str, run: str | None = None, patience: float = PATIENCE) -> CloudEvent:
        """Wait for an event of this name (and run)."""
        return await poll(lambda: self.event(media_id, name, run), patience)

    async def replay(self, function: str, event: CloudEvent, *, run: str | None = None) -> str:
        """Give an event to a function again; the run in which it does."""
        run = run or str(uuid7())
        replayed = Envelope.model_validate(event).model_copy(update={"run": run, "replayname": "again"})
        await Invoke(function, replayed).publish(self.bus, run)
        return run

    async def say(self, cause: CloudEvent, event: MediaEvent, function: str) -> None:
        """Say what a function makes of an event."""
        said = follow(event, cause=Envelope.model_validate(cause), function=function, version="1")
        await self.bus.publish(str(subject(event, said)), said.encode(), message_id=said.id, headers=HEADERS)

    async def tick(self) -> None:
        """Give `sweep` a tick and wait until it has done its work."""
        before = await self.bus.last("TICKS", [subject_of("sweep")])
        await Ticker(self.bus, registry.functions["sweep"]).tick(int(before[0].data) + 1 if before else 1)
        await poll(self.swept)

    async def swept(self) -> bool:
        """Whether `sweep` has nothing left to do."""
        states = await self.bus.state("TICKS")
        return all(not state.pending and not state.unacknowledged for state in states if state.name == "sweep")

    async def skip_pending(self, *functions: str) -> None:
        """Make functions miss what waits for them: their consumers are deleted, and start anew at new events."""
        link = await Link.open(self.settings.nats_url, name="tests", on_closed=None, timeout=PATIENCE)
        try:
            for function in registry.select(functions):
                for consumer in consumer_names(function, application().lanes).values():
                    await api(link, f"CONSUMER.DELETE.MEDIA.{consumer}")
        finally:
            await link.aclose()
        await provision(
            self.bus,
            application(),
            chosen([], self.settings),
            retention(self.settings),
            self.settings.ack_wait_seconds,
        )

    async def last(self, media_id: str) -> list[Stored]:
        """The last message of each of its subjects."""
        return await self.bus.last("MEDIA", [everything(media_id)])

    async def until(self, media_id: str, *names: str, patience: float = PATIENCE) -> CloudEvent:
        """Wait for the first event of one of these names."""
        async with asyncio.timeout(patience):
            async for stored in self.bus.read("MEDIA", [everything(media_id)], follow=True):
                event: CloudEvent = from_json(stored.data)
                if event_name(event) in names:
                    return event
        raise AssertionError

    async def ended(self, media_id: str, patience: float = PATIENCE) -> CloudEvent:
        """Wait until nothing of a media is going on: a terminal event, and its temp object discarded."""
        terminal = await self.until(
            media_id, "ready", "rejected", "quarantined", "failed", "abandoned", "deleted", patience=patience
        )
        if event_name(terminal) not in {"failed", "abandoned"}:
            await self.until(media_id, "discarded", patience=patience)
        return terminal

    async def fold(self, media_id: str) -> Fold:
        """The fold of everything the stream says of a media."""
        return Fold.of(media_id, await self.events(media_id))

    async def keys(self, media_id: str) -> list[str]:
        """Every object of a media, temp versions as `key@version`."""
        found = [f"{entry.key}@{entry.version_id}" async for entry in self.objects.list_versions(temp_key(media_id))]
        for prefix in ("permanent", "work", "quarantine", "records"):
            found += [entry.key async for entry in self.objects.list(f"{prefix}/{media_id}")]
        return found


async def poll(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait for a condition that nobody announces; its first true value."""
    async with asyncio.timeout(patience):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)


async def condemn(stack: ThreadedStack, pattern: bytes) -> None:
    """Let clamd find files with these bytes from now on, as after an update of its signatures."""
    signature = f"Late-Test-Signature.{pattern.hex()[-16:]}:0:*:{pattern.hex()}\n"
    with (stack.info.data / "clamd" / "signatures" / "late.ndb").open("a") as database:
        database.write(signature)
    await stack.clamd.restart()


@asynccontextmanager
async def provisioned(stack: ThreadedStack, **changes: Any) -> AsyncGenerator[System]:
    """A stack with bucket, streams and consumers, and nobody working. What profiles say only who works must know."""
    plain = {name: value for name, value in changes.items() if "__" not in name}
    settings = stack.settings("operator", **(FAST | plain))
    bus = await NatsBus.connect(settings.nats_url, name="tests")
    try:
        functions = chosen([], settings)
        await provision(bus, application(), functions, retention(settings), settings.ack_wait_seconds)
        await asyncio.to_thread(provision_bucket, settings)
        async with aclosing(Documents.from_settings(settings)) as documents:
            await documents.provision()
        async with aiohttp.ClientSession() as http, Objects.from_settings(settings) as objects:
            presigner = Presigner.uploads(stack.settings("gateway"))
            yield System(stack, settings, bus, http, objects, presigner)
    finally:
        await bus.aclose()


@asynccontextmanager
async def connected(system: System, **changes: Any) -> AsyncGenerator[Services]:
    """What functions use, with their own credentials, and nobody working: for tests that call a function."""
    settings = system.stack.settings("functions", **(FAST | changes))
    bus = await NatsBus.connect(settings.nats_url, name="tests functions")
    try:
        async with services(settings, bus) as shared:
            yield shared
    finally:
        await bus.aclose()


def context(services: Services, function: str = "test", media_id: str = "none", run: str = "0") -> Context:
    """What a function that a test calls gets beside its event."""
    return Context(services, function, media_id, "the id of its input", run, "standard")


@dataclass(slots=True)
class Working:
    """A worker in this process."""

    worker: Worker
    services: Services
    policy: Policy


@asynccontextmanager
async def working(
    system: System, names: Iterable[str] = (), *, handlers: Mapping[str, Handler] | None = None, **changes: Any
) -> AsyncGenerator[Working]:
    """Functions at work in this process, with the functions' own credentials; some with a handler of the test's."""
    settings = system.stack.settings("functions", **(FAST | changes))
    bus = await NatsBus.connect(settings.nats_url, name="tests functions")
    try:
        async with services(settings, bus) as shared:
            functions = [
                replace(function, handler=(handlers or {}).get(function.name, function.handler))
                for function in chosen(names, settings)
            ]
            worker = Worker(bus, application(shared), functions, policy(settings))
            await worker.start()
            try:
                yield Working(worker, shared, worker.policy)
            finally:
                await worker.drain()
    finally:
        await bus.aclose()
