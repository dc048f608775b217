"""A gateway on a free port over the real servers, a client of it, and functions that say what a test wants."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from fastapi import FastAPI

from events.envelope import HEADERS, Envelope, derive_id, follow
from events.nats import NatsBus
from gateway.server import Server
from gateway.services import Services
from infra.settings import Settings
from infra.tokens import issue
from schemas.events import (
    Discarded,
    Identified,
    MediaEvent,
    Probed,
    Promoted,
    Quarantined,
    Ready,
    Rejected,
    Requested,
    Scanned,
    Uploaded,
)
from schemas.media import Identity, Verdict
from schemas.objects import ObjectRef
from schemas.probe import PdfProbe
from schemas.subjects import Subject, everything

SHA = "0" * 64
PDF = {"filename": "a.pdf", "content_type": "application/pdf", "size": 1000}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class SentEvent:
    """One server-sent event; a comment has the name `:`."""

    event: str
    data: str
    id: int | None = None

    @property
    def json(self) -> Any:
        """The data."""
        return json.loads(self.data)


@dataclass
class Running:
    """One gateway."""

    app: FastAPI
    server: Server
    settings: Settings
    operator: NatsBus
    http: aiohttp.ClientSession

    @property
    def services(self) -> Services:
        """What its handlers share."""
        return self.app.state.services

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    def token(self, owner: str = "alice", *scopes: Any, **more: Any) -> str:
        """A token that this gateway believes."""
        return issue(
            self.settings.jwt_secret.get_secret_value(),
            owner=owner,
            scopes=scopes or ("upload", "read", "delete"),
            **more,
        )

    async def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> Answer:
        """One request, as alice with every scope unless told otherwise; an empty token sends none."""
        headers = dict(more.pop("headers", {}))
        if token != "":
            headers["Authorization"] = f"Bearer {token or self.token()}"
        async with self.http.request(method, f"{self.url}{path}", headers=headers, **more) as response:
            text = await response.read()
            body = json.loads(text) if text and "json" in response.headers.get("content-type", "") else text
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, body)

    async def upload(self, token: str | None = None, **wish: Any) -> Answer:
        """POST /v1/uploads of a small PDF, but for what `wish` says."""
        return await self.call("POST", "/v1/uploads", token=token, json={**PDF, **wish})

    async def requested(self, **wish: Any) -> str:
        """The id of a new media."""
        answer = await self.upload(**wish)
        assert answer.status == 201, answer.body
        return str(answer.body["media_id"])

    async def status(self, media_id: str, token: str | None = None) -> Answer:
        """GET /v1/media/{id}."""
        return await self.call("GET", f"/v1/media/{media_id}", token=token)

    async def events(
        self, media_id: str, *, last: int | None = None, token: str | None = None
    ) -> AsyncGenerator[SentEvent]:
        """The events of one media until the server ends the stream."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        async with self.http.get(f"{self.url}/v1/media/{media_id}/events", headers=headers) as response:
            assert response.status == 200, await response.text()
            assert response.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                if line.startswith(":"):
                    yield SentEvent(":", line)
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    yield SentEvent(fields["event"], fields["data"], int(fields["id"]) if "id" in fields else None)
                    fields = {}
                else:
                    fields = {}


CLEAN = Verdict(status="clean", engine="ClamAV 1.4.6", signatures="test-1a2b", bytes_scanned=1000, sha256=SHA)


@dataclass
class Story:
    """Functions of one media that say what they are told to."""

    bus: NatsBus
    cause: Envelope
    media: Any
    verdict: Verdict = CLEAN

    @classmethod
    async def of(cls, bus: NatsBus, media_id: str) -> "Story":
        """Go on from the gateway's `requested`."""
        (stored,) = await bus.last("MEDIA", [everything(media_id)])
        envelope = Envelope.decode(stored.data)
        return cls(bus, envelope, Requested.model_validate(envelope.data).media)

    async def say(self, function: str, event: MediaEvent, run: str | None = None) -> Envelope:
        """Publish what a function makes of the event before."""
        cause = self.cause.model_copy(update={"run": run}) if run else self.cause
        self.cause = follow(event, cause=cause, function=function, version="1")
        subject = Subject(
            event.event, event.known_kind(), self.cause.lane, event.about(), self.cause.run, self.cause.part
        )
        await self.bus.publish(str(subject), self.cause.encode(), message_id=self.cause.id, headers=HEADERS)
        return self.cause

    def facts(self) -> dict[str, Any]:
        """What a promoted PDF carries."""
        media_id = self.media.media_id
        return {
            "media": self.media,
            "object": ObjectRef(bucket="tidegate", key=f"temp/{media_id}", version_id="v1", size=1000),
            "uploaded_at": datetime.now(UTC),
            "identity": Identity(kind="document", content_type="application/pdf", extension="pdf"),
            "verdict": self.verdict,
            "probe": PdfProbe(pages=3, encrypted=False, width_points=595, height_points=842),
            "original": ObjectRef(bucket="tidegate", key=f"permanent/{media_id}/original.pdf", size=1000, sha256=SHA),
        }

    async def scan(self) -> None:
        """As far as scanned."""
        facts = self.facts()
        await self.say("receive", Uploaded(**facts))
        await self.say("identify", Identified(**facts))
        await self.say("scan", Scanned(**facts))

    async def promote(self) -> None:
        """As far as promoted."""
        await self.scan()
        facts = self.facts()
        await self.say("probe", Probed(**facts))
        await self.say("promote", Promoted(**facts))

    async def finish(self) -> None:
        """All the way to ready."""
        await self.promote()
        promoted = self.cause
        await self.say("finish", Ready(**self.facts()))
        self.cause = promoted
        await self.say("discard", Discarded(media=self.media, cause="promoted"))

    async def reject(self) -> None:
        """Refused by identify."""
        facts = self.facts()
        await self.say("receive", Uploaded(**facts))
        await self.say(
            "identify",
            Rejected(
                media=self.media,
                object=facts["object"],
                function="identify",
                code="type_refused",
                reason="It is a program.",
            ),
        )

    async def quarantine(self) -> None:
        """A replayed scan finds something."""
        facts = self.facts()
        verdict = facts["verdict"].model_copy(update={"status": "infected", "signature": "Eicar"})
        await self.say(
            "scan",
            Quarantined(media=self.media, object=facts["object"], identity=facts["identity"], verdict=verdict),
            run=derive_id("a replay"),
        )
