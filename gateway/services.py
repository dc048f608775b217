"""What the gateway's handlers share, injected by whoever makes the application."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import HTTPConnection

from events.bus import Bus
from gateway.feed import Feed
from gateway.queues import Queues
from gateway.quota import Quota
from gateway.rates import Rates
from gateway.readiness import Health
from gateway.tail import Tail
from gateway.takers import Takers, installed
from infra.catalog import Resembling, Wanted
from infra.documents import Stored
from infra.errors import DependencyDown
from infra.grants import Grants
from infra.objects import Objects
from infra.presign import Presigner
from infra.quotas import Quotas
from infra.settings import Settings
from infra.tokens import Verifier
from schemas.document import Fold


class Documents(Protocol):
    """What the gateway asks of the documents (`infra.documents.Documents`); each can raise `DependencyDown`."""

    async def get(self, media_id: str) -> Fold | None:
        """The media's fold as `record` last wrote it."""
        ...

    async def pending(self, owner: str, at_most: int) -> int:
        """How many uploads of an owner have not come yet, counted to `at_most`."""
        ...

    async def page(self, wanted: Wanted, limit: int) -> list[Stored]:
        """The newest documents of what is wanted, without their folds."""
        ...

    async def similar(self, wanted: Resembling, limit: int) -> list[tuple[int, Stored]]:
        """The documents of what looks most like a picture, each with how many bits differ, the nearest first."""
        ...

    async def alive(self) -> None:
        """Return if MongoDB answers within two seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """One gateway's surroundings.

    Attributes:
        settings: What the process was told.
        bus: NATS; may publish `requested` and `deleted`, and read MEDIA.
        documents: MongoDB; none: the stream alone is asked.
        objects: MinIO, with the gateway's rights: what was promoted, to read.
        takers: whom a media may wait for.
        uploads: signs uploads with the signer's credentials.
        downloads: signs downloads with the gateway's.
        verifier: checks bearer tokens.
        grants: gives and checks players' links.
        rates: how many requests an owner may send.
        quota: whether an owner may ask for one more upload.
        queues: how long the functions' queues are.
        tail: wakes whoever watches a media.
        feed: tells everything to whoever may be told.
        health: who of the servers answers.
        closing: set when the process is asked to end: open streams end.
    """

    settings: Settings
    bus: Bus
    documents: Documents | None
    objects: Objects
    takers: Takers
    uploads: Presigner
    downloads: Presigner
    verifier: Verifier
    grants: Grants
    rates: Rates
    quota: Quota
    queues: Queues
    tail: Tail
    feed: Feed
    health: Health
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self) -> None:
        """End open streams: the process is asked to end."""
        self.feed.close()
        self.closing.set()

    @classmethod
    def of(
        cls, settings: Settings, bus: Bus, documents: Documents | None, objects: Objects, takers: Takers | None
    ) -> "Services":
        """Make the signers, the verifier and the rest that the settings describe.

        Raises:
            ValueError: A setting can't work; the message names it.
        """
        probes = {
            "nats": bus.alive,
            "mongo": documents.alive if documents else _no_documents,
            "minio": objects.alive,
        }
        tail = Tail(bus)
        return cls(
            settings=settings,
            bus=bus,
            documents=documents,
            objects=objects,
            takers=installed() if takers is None else takers,
            uploads=Presigner.uploads(settings),
            downloads=Presigner.downloads(settings),
            verifier=Verifier(settings.jwt_secret.get_secret_value()),
            grants=Grants(settings.jwt_secret.get_secret_value()),
            rates=Rates(settings.rate_per_second, settings.rate_burst),
            quota=quota_of(settings, documents),
            queues=Queues(bus),
            tail=tail,
            feed=Feed(bus, tail),
            health=Health(probes, settings.signatures_label),
        )


def quota_of(settings: Settings, documents: Documents | None) -> Quota:
    """The quota that the settings describe; connects to nothing where they limit nothing."""

    async def none(_: str, __: int) -> int:
        return 0

    limited = settings.quota_uploads or settings.quota_bytes
    return Quota(
        settings, documents.pending if documents else none, Quotas.from_settings(settings) if limited else None
    )


async def _no_documents() -> None:
    raise DependencyDown("mongo", "not configured")


def services(request: HTTPConnection) -> Services:
    """The services of the application that took this request."""
    return request.app.state.services
