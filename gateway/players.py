"""What players ask for: playlists and storyboards whose every address is signed, or has the grant they came with."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request, Response

from gateway import cues, dash, playlists
from gateway.grants import SECURITY, Leave, leave
from gateway.links import begun_at, over_at, upwards
from gateway.offered import CUES, offered
from gateway.playlists import LARGEST_BYTES, PlaylistBroken
from gateway.problems import ProblemError, described
from gateway.query import parameters
from gateway.ranges import matches
from gateway.services import Services, services
from infra.errors import Gone
from schemas.api import PlayRequest
from schemas.objects import ObjectRef
from schemas.products import DASH, HLS, made, streams
from schemas.renditions import rendition_key

# Half of them are signed, ten microseconds each: nobody else waits longer than five milliseconds.
LINES_AT_ONCE: Final = 1000
# Of a long playlist a tenth is left; below, it fits into one packet or two.
WORTH_PACKING: Final = 4096
_TYPES: Final = {"m3u8": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml", "vtt": CUES}
# Of any weight but 0 (RFC 9110, section 12.5.3).
_GZIP: Final = re.compile(
    r"(?:^|,)\s*gzip\s*(?:;\s*q=(?:1(?:\.0{0,3})?|0\.(?=[0-9]{0,2}[1-9])[0-9]{1,3})\s*)?(?:,|$)", re.IGNORECASE
)
_ERRORS = described(
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

router = APIRouter(prefix="/v1/media")
log = structlog.get_logger()


def _described(kind: str) -> dict[str, Any]:
    content = {_TYPES[kind]: {"schema": {"type": "string"}}}
    return {
        "response_model": None,
        "responses": {200: {"description": "With an address for whatever it lists.", "content": content}, **_ERRORS},
        "openapi_extra": {"security": SECURITY, "parameters": parameters(PlayRequest)},
    }


@router.head("/{media_id}/hls/{playlist:path}", include_in_schema=False)
@router.get("/{media_id}/hls/{playlist:path}", **_described("m3u8"))
async def hls(request: Request, media_id: str, playlist: str) -> Response:
    """`master.m3u8` for players of HLS, and the playlists that it lists.

    Each segment has a signed address of MinIO's, or one of the gateway's where the installation has it so. All of them
    are over when the link is.
    """
    at, reader = services(request), await leave(request, media_id)
    played = _asked(request, reader, playlist, HLS)
    text = (await _read(at, media_id, played)).decode(errors="replace")
    with _sound(media_id, played):
        body = _master(text, played) if played.file == HLS else await _media(text, at, media_id, played)
    return await _answer(request, body.encode(), "m3u8")


@router.head("/{media_id}/dash/{playlist:path}", include_in_schema=False)
@router.get("/{media_id}/dash/{playlist:path}", **_described("mpd"))
async def dash_manifest(request: Request, media_id: str, playlist: str) -> Response:
    """`manifest.mpd` for players of DASH; its segments are fetched through the gateway, which redirects to MinIO."""
    at, reader = services(request), await leave(request, media_id)
    played = _asked(request, reader, playlist, DASH)
    text = await _read(at, media_id, played)
    with _sound(media_id, played):
        body = dash.manifest(text, lambda name: f"{played.root}files/{played.folder}/{name}?grant={played.grant}")
    return await _answer(request, body, "mpd")


@router.head("/{media_id}/vtt/{name}", include_in_schema=False)
@router.get("/{media_id}/vtt/{name}", **_described("vtt"))
async def storyboard(request: Request, media_id: str, name: str) -> Response:
    """`storyboard.vtt` for players: which part of which picture shows a moment of the video."""
    at, reader = services(request), await leave(request, media_id)
    announced = made(reader.found.fold)
    file = offered(reader.found.fold, name, announced)
    if file is None or file.content_type != CUES:
        raise ProblemError(HTTPStatus.NOT_FOUND, "storyboard_not_found", "There is no such storyboard, or none yet.")
    played = _played(request, reader, "", name, max((stream.seconds for stream in streams(announced)), default=0))
    text = (await _read(at, media_id, played)).decode(errors="replace")
    with _sound(media_id, played):
        body = cues.linked(text, _segments(at, media_id, played))
    return await _answer(request, body.encode(), "vtt")


@dataclass(frozen=True, slots=True)
class _Played:
    """What of which stream is asked for.

    Attributes:
        folder: The stream's; empty: the media's own.
        file: The playlist's name in it.
        root: The way from where it was asked for to the media's address.
        grant: What the addresses in it have.
        expires: When they are over, in Unix seconds.
    """

    folder: str
    file: str
    root: str
    grant: str
    expires: int

    @property
    def place(self) -> str:
        """The way to what lies beside it, from the media's files."""
        return f"{self.folder}/" if self.folder else ""


def _asked(request: Request, reader: Leave, playlist: str, entry: str) -> _Played:
    """The playlist of this name, of the stream that it names or the best one.

    Raises:
        ProblemError: 404, there is none of this name.
    """
    folder, _, file = playlist.rpartition("/")
    extension = entry.rpartition(".")[2]
    playing = [
        stream
        for stream in streams(made(reader.found.fold))
        if folder in ("", stream.folder) and (stream.hls if entry == HLS else stream.dash)
    ]
    if not playing or not playing[0].has(file) or not file.endswith(f".{extension}"):
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "playlist_not_found",
            "There is no such playlist, or none yet: `playable` of the media's status says when players may begin.",
        )
    return _played(request, reader, playing[0].folder, file, playing[0].seconds)


def _played(request: Request, reader: Leave, folder: str, file: str, seconds: float) -> _Played:
    """With the grant that the reader came with, or one that is over as long after so many seconds."""
    at = services(request)
    expires = reader.expires or over_at(at, seconds)
    grant = reader.grant or at.grants.give(reader.found.fold.media_id, reader.owner, expires)
    return _Played(folder, file, upwards(request), grant, expires)


async def _read(at: Services, media_id: str, played: _Played) -> bytes:
    key = rendition_key(media_id, f"{played.place}{played.file}")
    try:
        return await at.objects.get(ObjectRef(bucket=at.settings.bucket, key=key, size=0), at_most=LARGEST_BYTES)
    except Gone:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "playlist_not_found", "The playlist is gone: the media was deleted."
        ) from None
    except ValueError:
        raise _broken(media_id, played, "it is too large") from None


@contextmanager
def _sound(media_id: str, played: _Played) -> Generator[None]:
    try:
        yield
    except PlaylistBroken as error:
        raise _broken(media_id, played, str(error)) from None


def _broken(media_id: str, played: _Played, why: str) -> ProblemError:
    log.error("playlist.broken", media_id=media_id, file=f"{played.place}{played.file}", why=why)
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "playlist_broken",
        "What is stored for players is no playlist that Tidegate makes, and isn't handed on: tell its operators.",
    )


def _master(text: str, played: _Played) -> str:
    # By their folder: a player keeps to the stream that it began with, though a better one is there by now.
    here = f"{played.root}hls/{played.folder}"
    return playlists.master(text, lambda name: f"{here}/{name}?grant={played.grant}")


async def _media(text: str, at: Services, media_id: str, played: _Played) -> str:
    lines: list[str] = []
    for line in playlists.media(text, _segments(at, media_id, played)):
        lines.append(line)
        if not len(lines) % LINES_AT_ONCE:
            await asyncio.sleep(0)
    return "\n".join([*lines, ""])


def _segments(at: Services, media_id: str, played: _Played) -> playlists.Link:
    if at.settings.delivery == "proxy":
        return lambda name: f"{played.root}files/{played.place}{name}?grant={played.grant}"
    begun = begun_at(played.expires)
    return at.downloads.presign_many(
        rendition_key(media_id, played.place), expires=played.expires - int(begun.timestamp()), now=begun
    )


async def _answer(request: Request, body: bytes, extension: str) -> Response:
    """A playlist, packed for who takes it so; asked for again, only if it differs."""
    packed = len(body) > WORTH_PACKING and _GZIP.search(request.headers.get("accept-encoding", "")) is not None
    headers = {
        "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}{"-gzip" if packed else ""}"',
        "cache-control": "private, no-cache",
        "content-type": _TYPES[extension],
        "vary": "Accept-Encoding",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    if matches(request.headers.get("if-none-match"), headers["etag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if packed:
        headers["content-encoding"] = "gzip"
        # Three megabytes take a while, and other threads may run meanwhile.
        body = await asyncio.to_thread(gzip.compress, body, 1, mtime=0)
    headers["content-length"] = str(len(body))
    return Response(b"" if request.method == "HEAD" else body, headers=headers)
