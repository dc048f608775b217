"""A media's files: redirected to MinIO, or sent from here, with all that HTTP knows of parts and of caches."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from gateway.download import Download
from gateway.grants import SECURITY, Leave, leave
from gateway.links import sign, upwards
from gateway.offered import ORIGINAL, File, offered
from gateway.problems import ProblemError, described, unavailable
from gateway.quality import choose
from gateway.query import asked, parameters
from gateway.ranges import Span, Unsatisfiable, another, known, span, still
from gateway.services import Services, services
from infra.errors import Gone, PreconditionFailed
from infra.object_headers import ObjectInfo
from schemas.api import FileRequest, QualityRequest
from schemas.products import files, made

QUALITY: Final = "tidegate-quality"
# A redirect is over before the signature in it is.
MARGIN_SECONDS: Final = 30
FOREVER: Final = "private, max-age=86400, immutable"
# Of an original's bytes there are no others; a rendition may be made anew under another profile.
A_WHILE: Final = "private, max-age=3600"
_GONE: Final = "The file is gone: the media was deleted, or the file is being made anew."
# Two people who use one browser one after another are not shown each other's files.
_ONE_READER: Final = {"vary": "Authorization"}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/octet-stream": {}}},
    206: {"description": "A part of it."},
    304: {"description": "As `If-None-Match` or `If-Modified-Since` says."},
    307: {"description": "It is there, signed, for GET alone."},
    416: {"description": "It has none of these bytes."},
    **described(
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.GONE,
        HTTPStatus.PRECONDITION_FAILED,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
}

router = APIRouter(prefix="/v1/media")


@router.head("/{media_id}/files/{name:path}", include_in_schema=False)
@router.get(
    "/{media_id}/files/{name:path}",
    response_model=None,
    responses=_ANSWERS,
    openapi_extra={"security": SECURITY, "parameters": parameters(FileRequest)},
)
async def media_file(request: Request, media_id: str, name: str) -> Response:
    """One file by its name: `original`, or one of `renditions`; of a stream also what its playlists list.

    A redirect to MinIO, where the installation has it so; HEAD, and `redirect=false`, are answered from here.
    """
    wish = asked(request, FileRequest)
    reader = await leave(request, media_id)
    file = offered(reader.found.fold, name)
    if file is None:
        raise _no_file(f"The media has no file of this name. Its files are listed by GET /v1/media/{media_id}.")
    if file.player:
        return _to_player(request, file.player)
    return await deliver(request, services(request), file, redirect=wish.redirect)


@router.head("/{media_id}/file", include_in_schema=False)
@router.get(
    "/{media_id}/file",
    response_model=None,
    responses=_ANSWERS,
    openapi_extra={"security": SECURITY, "parameters": parameters(QualityRequest)},
)
async def media_file_of_quality(request: Request, media_id: str) -> Response:
    """The file of a quality: of a picture a size, of a sound what browsers play, of a document its first page.

    Where there is none of this quality it is the nearest lower one, or else the nearest higher; `Tidegate-Quality` and
    `Content-Location` say which. The original is sent to who asks for it, and in no other's place. Of a picture's
    formats `Accept` chooses: WebP and AVIF for who names them. Streams are at `hls` and `dash`.
    """
    wish = asked(request, QualityRequest)
    reader = await leave(request, media_id)
    file, quality = _of_quality(reader, wish, request.headers.get("accept"))
    answer = await deliver(request, services(request), file, redirect=wish.redirect)
    answer.headers.update({QUALITY: quality, "content-location": f"files/{file.name}"})
    answer.headers.add_vary_header("Accept")
    return answer


def _of_quality(reader: Leave, wish: QualityRequest, accept: str | None) -> tuple[File, str]:
    fold = reader.found.fold
    if wish.quality == ORIGINAL:
        if (file := offered(fold, ORIGINAL)) is None:
            raise _no_file("The file was not let in yet: ask again when its state is `ready`.")
        return file, ORIGINAL
    announced = made(fold)
    identity: dict[str, Any] = fold.known().get("identity") or {}
    kind = str(identity.get("kind", "unknown"))
    rendition = choose(files(announced).values(), kind, wish.quality, accept)
    file = offered(fold, rendition.name, announced) if rendition else None
    if rendition is None or file is None:
        raise _no_file(
            "There is no such file of this media, or none yet: `products` of its status say so. "
            "`quality=original` is what was uploaded."
        )
    return file, f"{rendition.quality}"


def _no_file(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "file_not_found", detail)


def _to_player(request: Request, address: str) -> Response:
    """To the playlist with addresses in it: the stored one names files that nobody could read as they stand."""
    query = f"?{request.url.query}" if request.url.query else ""
    return Response(
        status_code=HTTPStatus.TEMPORARY_REDIRECT,
        headers={"location": f"{upwards(request)}{address}{query}", "cache-control": "no-store"},
    )


async def deliver(request: Request, at: Services, file: File, *, redirect: bool = True) -> Response:
    """Send a file, or send to where it is."""
    redirected = redirect and at.settings.delivery == "redirect" and request.method == "GET"
    # The other conditions go along to MinIO, which knows them as well.
    if redirected and "if-none-match" not in request.headers:
        return _redirect(at, file)
    info = await at.objects.head(file.key)
    if info is None:
        raise _no_file(_GONE)
    headers = _headers(file, info)
    if another(request.headers, headers["etag"], info.last_modified):
        raise ProblemError(
            HTTPStatus.PRECONDITION_FAILED,
            "precondition_failed",
            "The file is another than the one that the request's conditions name: ask for it without them.",
        )
    if known(request.headers, headers["etag"], info.last_modified):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if redirected:
        return _redirect(at, file)
    return _whole_or_part(request, at, file, info, headers)


def _redirect(at: Services, file: File) -> Response:
    signed = sign(at, file)
    headers = {
        "location": signed.url,
        "cache-control": f"private, max-age={max(signed.seconds - MARGIN_SECONDS, 0)}",
        **_ONE_READER,
        "referrer-policy": "no-referrer",
    }
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers=headers)


def _headers(file: File, info: ObjectInfo) -> dict[str, str]:
    """What is true of the file, sent or not.

    The ETag is MinIO's, so that who was redirected has the same: of the bytes that are there, and of no event's.
    """
    return {
        "etag": f'"{info.etag}"',
        "last-modified": format_datetime(info.last_modified, usegmt=True),
        "accept-ranges": "bytes",
        "cache-control": FOREVER if file.forever else A_WHILE,
        **_ONE_READER,
        "content-disposition": file.disposition,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        # Whatever is opened from here runs nothing and asks nobody.
        **({"content-security-policy": "default-src 'none'; sandbox"} if file.save_as else {}),
    }


def _whole_or_part(request: Request, at: Services, file: File, info: ObjectInfo, headers: dict[str, str]) -> Response:
    asked_for = request.headers.get("range") if request.method == "GET" else None
    if not still(request.headers.get("if-range"), headers["etag"], headers["last-modified"]):
        asked_for = None
    try:
        part = span(asked_for, info.size)
    except Unsatisfiable:
        raise ProblemError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            f"The file has {info.size} bytes and none of those asked for.",
            {"content-range": f"bytes */{info.size}", "accept-ranges": "bytes"},
        ) from None
    sent = part or Span(0, info.size)
    headers |= {"content-type": file.content_type, "content-length": str(sent.length)}
    if part:
        headers["content-range"] = part.content_range(info.size)
    if request.method == "HEAD" or not sent.length:
        return Response(status_code=HTTPStatus.OK, headers=headers)
    opened = _opened(at, file, info, sent)
    return Download(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, headers, opened, at.closing)


@asynccontextmanager
async def _opened(at: Services, file: File, info: ObjectInfo, part: Span) -> AsyncGenerator[AsyncIterator[bytes]]:
    try:
        async with at.objects.read(file.key, info.etag, part.start, part.length) as chunks:
            yield chunks
    except Gone:
        raise _no_file(_GONE) from None
    except PreconditionFailed:
        raise unavailable("The file was made anew this moment") from None
