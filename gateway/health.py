"""Is the process there, can it take uploads, and what does it measure."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.services import services
from schemas.api import Readiness

router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process serves."""
    return {"status": "ok"}


@router.get("/readyz", response_model=None, responses={200: {"model": Readiness}, 503: {"model": Readiness}})
async def readyz(request: Request) -> Response:
    """NATS, MongoDB and MinIO, each with its state; 503 if one is down. Loud about test signatures."""
    found = await services(request).health.readiness()
    return Response(
        found.model_dump_json(),
        HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE,
        {"cache-control": "no-store"},
        "application/json",
    )


@router.get("/metrics", response_model=None, responses={200: {"content": {"text/plain": {}}}})
async def metrics() -> Response:
    """Figures of this process in Prometheus' text format."""
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})
