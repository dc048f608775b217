"""Errors as clients see them: `application/problem+json` (RFC 9457), each saying what to do."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from events.bus import BusError
from infra.errors import DependencyDown
from schemas.api import Problem, field_errors

CONTENT_TYPE = "application/problem+json"
# Read by nobody but the figures, as nginx has it: who hangs up in the middle of a request is no defect of ours.
CLIENT_LEFT = 499
log = structlog.get_logger()


class ProblemError(Exception):
    """An error with its answer.

    Attributes:
        status: The HTTP status.
        code: The last part of the problem's type.
        detail: What happened and what to do.
        headers: Headers of the answer.
        more: Further members of the answer.
    """

    def __init__(
        self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self) -> Response:
        """The answer."""
        body: dict[str, Any] = {
            "type": f"urn:tidegate:problem:{self.code}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.more,
        }
        return Response(
            json.dumps(body), self.status, {"cache-control": "no-store", **self.headers}, media_type=CONTENT_TYPE
        )


def unavailable(what: str) -> ProblemError:
    """503: a server is away, and it is worth asking again."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        f"{what}. Nothing is lost: send the request again in a few seconds.",
        {"retry-after": "2"},
    )


def invalid(error: ValidationError | RequestValidationError) -> ProblemError:
    """422: the request's content is wrong; says where."""
    errors = (
        error.errors(include_input=False, include_url=False, include_context=False)
        if isinstance(error, ValidationError)
        else error.errors()
    )
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        "The request's content is not valid: correct what `errors` names. The schema is at /openapi.json.",
        errors=field_errors(errors),
    )


_GENERIC = {
    HTTPStatus.NOT_FOUND: ("not_found", "There is nothing at this address: the API is described at /openapi.json."),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method_not_allowed",
        "This address doesn't take this method: see the `Allow` header and /openapi.json.",
    ),
}


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return error.response()

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        code, detail = _GENERIC.get(status, (status.name.lower(), str(error.detail)))
        return ProblemError(status, code, detail, error.headers).response()

    async def validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return invalid(error).response()

    async def down(_: Request, error: Exception) -> Response:
        log.warning("http.unavailable", error=str(error))
        return unavailable("A server behind the gateway doesn't answer; /readyz names it").response()

    async def defect(_: Request, __: Exception) -> Response:
        # The server logs the traceback; a client learns nothing of our insides.
        return ProblemError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal",
            "The gateway has a defect; it is in its log. If the same request fails again, tell its operators.",
        ).response()

    async def left(_: Request, __: Exception) -> Response:
        return Response(status_code=CLIENT_LEFT)

    app.add_exception_handler(ProblemError, problem)
    app.add_exception_handler(ClientDisconnect, left)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(BusError, down)
    app.add_exception_handler(DependencyDown, down)
    app.add_exception_handler(Exception, defect)


def described(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """These errors, for OpenAPI."""
    return {
        status.value: {"description": status.phrase, "content": {CONTENT_TYPE: {"schema": _REFERENCE}}}
        for status in statuses
    }


_REFERENCE = {"$ref": f"#/components/schemas/{Problem.__name__}"}
