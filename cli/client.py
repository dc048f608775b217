"""The gateway, as any client uses it: ask for an upload, put the bytes, follow what happens."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiohttp

from schemas.api import UploadForm, UploadPut, UploadRequest
from schemas.document import CloudEvent

CHUNK = 1024 * 1024
RETRY_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
_JSON = {"content-type": "application/json"}

OnBytes = Callable[[int], None]
OnProgress = Callable[[str, int, int, float | None], None]
"""A function, how far it is, of how much, and the seconds that are left if it says so."""


class Refused(Exception):
    """The gateway or MinIO said no; the message is theirs.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gateway:
    """One gateway and one token. Every method can raise `Refused` and `aiohttp.ClientError`."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"}

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, token: str) -> AsyncGenerator[Self]:
        """A client with connections of its own."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            yield cls(http, url, token)

    async def ask(self, wish: UploadRequest) -> UploadPut | UploadForm:
        """Ask for a presigned upload."""
        body = wish.model_dump_json(exclude_none=True)
        async with self._http.post(f"{self._url}/v1/uploads", data=body, headers=self._headers | _JSON) as answer:
            found = await _checked(answer)
        return UploadForm.model_validate(found) if wish.form else UploadPut.model_validate(found)

    async def send(self, ticket: UploadPut | UploadForm, file: Path, size: int, on_bytes: OnBytes) -> None:
        """Upload a file's bytes to where the ticket says; `on_bytes` hears of each piece that was handed over."""
        if isinstance(ticket, UploadForm):
            with file.open("rb") as body:
                form = aiohttp.FormData(ticket.fields)
                form.add_field("file", body, filename=file.name, content_type=ticket.fields["Content-Type"])
                async with self._http.post(ticket.url, data=form) as answer:
                    await _stored(answer)
            on_bytes(size)
            return
        pieces = _pieces(file, on_bytes)
        # A file without bytes has no pieces; aiohttp would send it chunked.
        body = pieces if size else b""
        async with self._http.put(ticket.url, data=body, headers=ticket.headers) as answer:
            await _stored(answer)

    async def events(self, media_id: str, on_progress: OnProgress) -> AsyncGenerator[CloudEvent]:
        """What happens to a media, from its first event on, until the gateway says that it ended.

        `on_progress` hears between the events how far functions are.
        """
        last, patient_until = "", time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async for name, number, data in self._stream(media_id, last):
                    if name == "end":
                        return
                    last, patient_until = number or last, time.monotonic() + PATIENCE_SECONDS
                    if name != "progress":
                        yield json.loads(data)
                        continue
                    said = json.loads(data)
                    on_progress(said["function"], said["done"], said["total"], said.get("eta_seconds"))
            except aiohttp.ClientError:
                # The gateway stopped, or is being replaced by another: what was missed comes with the next stream.
                if time.monotonic() > patient_until:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def _stream(self, media_id: str, last: str) -> AsyncGenerator[tuple[str, str, str]]:
        headers = self._headers | ({"last-event-id": last} if last else {})
        async with self._http.get(f"{self._url}/v1/media/{media_id}/events", headers=headers) as answer:
            if answer.status == HTTPStatus.NO_CONTENT:
                yield "end", "", ""
            elif answer.ok:
                async for frame in _frames(answer.content):
                    yield frame
            else:
                await _checked(answer)

    async def status(self, media_id: str) -> dict[str, Any]:
        """Everything about one media."""
        async with self._http.get(f"{self._url}/v1/media/{media_id}", headers=self._headers) as answer:
            return await _checked(answer)


async def _pieces(file: Path, on_bytes: OnBytes) -> AsyncGenerator[bytes]:
    with file.open("rb") as body:
        while piece := await asyncio.to_thread(body.read, CHUNK):
            yield piece
            on_bytes(len(piece))


async def _frames(lines: aiohttp.StreamReader) -> AsyncGenerator[tuple[str, str, str]]:
    """Server-sent events: name, id and data of each."""
    fields: dict[str, str] = {}
    pending = b""
    # Not by its own lines: an event may be longer than aiohttp lets a line be.
    async for chunk in lines.iter_any():
        *complete, pending = (pending + chunk).split(b"\n")
        for line in complete:
            if line:
                name, _, value = line.decode().partition(": ")
                fields[name] = value
                continue
            if "data" in fields:
                yield fields.get("event", "message"), fields.get("id", ""), fields["data"]
            fields = {}


async def _checked(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The answer's JSON."""
    text = await answer.text()
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        raise Refused(answer.status, f"the gateway answered {answer.status} {answer.reason}") from None
    if answer.ok:
        return found
    where = "; ".join(f"{each['field']}: {each['message']}" for each in found.get("errors") or ())
    detail = str(found.get("detail") or answer.reason)
    raise Refused(answer.status, f"{detail} ({where})" if where else detail)


async def _stored(answer: aiohttp.ClientResponse) -> None:
    # 412: the bytes are there already, put by an attempt whose answer was lost.
    if answer.ok or answer.status == HTTPStatus.PRECONDITION_FAILED:
        return
    text = await answer.text()
    said = text.partition("<Message>")[2].partition("</Message>")[0] or answer.reason
    raise Refused(answer.status, f"MinIO refused the upload: {said}")
