"""The application: routes, what surrounds them, and what they are given."""

from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from events.bus import Bus
from events.nats import NatsBus
from gateway import events, files, grants, health, listing, media, players, problems, similar, uploads
from gateway.access import Access
from gateway.cors import Cors
from gateway.limits import BodyLimit
from gateway.services import Documents, Services
from gateway.takers import Takers
from infra.documents import Documents as MongoDocuments
from infra.objects import Objects
from infra.settings import Settings
from schemas.api import Problem, UploadRequest

VERSION = "1"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    settings: Settings, bus: Bus, documents: Documents | None = None, *, takers: Takers | None = None
) -> FastAPI:
    """The gateway over a connected bus; whoever made bus and documents closes them.

    Args:
        settings: With the gateway's credentials, the signer's and the secret of the tokens.
        bus: NATS.
        documents: MongoDB; none: only the stream is asked.
        takers: Whom media may wait for; none: the functions that are installed.

    Raises:
        ValueError: A setting can't work; the message names it.
    """
    objects = Objects.from_settings(settings)
    at = Services.of(settings, bus, documents, objects, takers)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        app.state.services = at
        async with objects, aclosing(at.quota):
            yield

    return assemble(lifespan, settings.cors_origins)


def connected_app(
    settings: Settings | None = None,
    *,
    takers: Takers | None = None,
    on_closed: Callable[[str], None] | None = None,
) -> FastAPI:
    """The gateway that connects to NATS and MongoDB when it starts, and closes both when it ends.

    Args:
        settings: None: from the environment.
        takers: Whom media may wait for; none: the functions that are installed.
        on_closed: Told why when NATS closed the connection for good: the process should end.
    """
    told = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            bus = await NatsBus.connect(told.nats_url, name="gateway", on_closed=on_closed)
            stack.push_async_callback(bus.aclose)
            documents = MongoDocuments.from_settings(told)
            stack.push_async_callback(documents.aclose)
            objects = await stack.enter_async_context(Objects.from_settings(told))
            app.state.services = at = Services.of(told, bus, documents, objects, takers)
            stack.push_async_callback(at.quota.aclose)
            yield

    return assemble(lifespan, told.cors_origins)


def assemble(lifespan: Lifespan | None = None, origins: Collection[str] = ("*",)) -> FastAPI:
    """The routes and middleware alone."""
    app = FastAPI(
        title="Tidegate",
        version=VERSION,
        summary="Files arrive from strangers; this is the door.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        # They would lead to http:// and whatever `Host` says, tokens and all.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    problems.install(app)
    for router in (
        uploads.router,
        listing.router,
        media.router,
        files.router,
        players.router,
        similar.router,
        events.router,
        health.router,
    ):
        app.include_router(router)
    app.add_middleware(BodyLimit)
    app.add_middleware(Cors, origins=origins)
    app.add_middleware(Access)
    app.openapi = lambda: _described(app)
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components: dict[str, Any] = schema.setdefault("components", {})
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            "grant": grants.SCHEME,
        }
        _, models = models_json_schema(
            [(UploadRequest, "validation"), (Problem, "serialization")], ref_template="#/components/schemas/{model}"
        )
        components.setdefault("schemas", {}).update(models["$defs"])
        app.openapi_schema = schema
    return app.openapi_schema
