"""One signed HTTP request to MinIO: connection pool, SigV4, and what each failure means.

The SDKs cost three to four times the CPU per request (minio-py 0.61 ms a get, this 0.15), and the way of a file is
made of little else. Buckets, policies and notifications are rare and go through the SDK.
"""

import io
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from infra.errors import DependencyDown, Gone, InfraError, PreconditionFailed, StoreRefused
from infra.sigv4 import ALGORITHM, STAMP, Signer

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 10.0
# MinIO drops idle connections after 30 s; letting go first avoids requests on a connection that is just being closed.
KEEPALIVE_SECONDS: Final = 15.0
# Half a socket's worth: what a stream that nobody reads may hold in memory is twice this.
READ_BUFFER: Final = 256 * 1024
LARGE_BODY: Final = 1024 * 1024

_ERROR_BODY_LIMIT: Final = 16 * 1024
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Request(NamedTuple):
    """One request to the bucket.

    Attributes:
        method: The HTTP method.
        key: The object's key, not escaped; empty: the bucket itself.
        query: Query string, escaped, each parameter as `name=value`.
        headers: Headers to send and sign, beside those that every request has.
        body: Request body, the file that holds it, or none.
        body_sha256: The body's SHA-256 in hexadecimal, or `UNSIGNED`.
        patience: Seconds the whole exchange may take; 0: as long as bytes keep arriving.
    """

    method: str
    key: str = ""
    query: str = ""
    headers: Mapping[str, str] = _NO_HEADERS
    body: bytes | Path | None = None
    body_sha256: str = EMPTY_SHA256
    patience: float = 0


class S3:
    """A pool of connections to one MinIO with one set of credentials.

    The session is opened by the first request, in that request's event loop.
    """

    def __init__(
        self, *, url: str, region: str, access_key: str, secret_key: str, bucket: str, connections: int, timeout: float
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(f"MinIO's URL must be http(s)://host[:port], not {url!r}")
        # As aiohttp writes it into the Host header, which is signed: without the scheme's default port.
        self._netloc = URL(url).host_port_subcomponent or parts.netloc
        self._root = f"{parts.scheme}://{self._netloc}"
        self.bucket = bucket
        self.patience = timeout
        self._signer = Signer(access_key=access_key, secret_key=secret_key, region=region)
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        """Sign and send one request; return the response with its body unread.

        An idempotent request that found its kept-alive connection closed before the first byte of an answer is
        sent once more by aiohttp on another connection. Nothing else is retried.

        Raises:
            DependencyDown: MinIO didn't answer in time, or answered that it can't serve.
            Gone: No such key or version, or the version is a delete marker.
            PreconditionFailed: `If-Match` or `If-None-Match` didn't hold.
            StoreRefused: Any other refusal.
        """
        method, key, query, headers, body, body_sha256, patience = request
        path = f"/{self.bucket}/{escape(key)}" if key else f"/{self.bucket}"
        stamp = time.strftime(STAMP, time.gmtime())
        signed = {**headers, "Host": self._netloc, "x-amz-content-sha256": body_sha256, "x-amz-date": stamp}
        names, signature = self._signer.request(stamp, method, path, query, signed, body_sha256)
        signed["Authorization"] = (
            f"{ALGORITHM} Credential={self._signer.credential(stamp)}, SignedHeaders={names}, Signature={signature}"
        )
        target = URL(f"{self._root}{path}?{query}" if query else self._root + path, encoded=True)
        try:
            response = await self._opened().request(
                method,
                target,
                headers=signed,
                data=_payload(body),
                timeout=self._deadline(patience),
                allow_redirects=False,
            )
            if response.status < HTTPStatus.MULTIPLE_CHOICES:
                return response
            failure = await _failure(response, request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise down(error) from error
        raise failure

    async def fetch(self, request: Request) -> tuple[CIMultiDictProxy[str], bytes]:
        """Send one request as `send` does; return the answer's headers and whole body.

        Raises:
            InfraError: As `send`; an answer cut short is `DependencyDown`.
        """
        response = await self.send(request)
        return response.headers, await drain(response)

    def _deadline(self, patience: float) -> aiohttp.ClientTimeout:
        if not patience:
            return self._timeout
        # A body larger than the socket's buffer doesn't count as reading until it is sent, so the whole is bounded.
        return aiohttp.ClientTimeout(total=patience, sock_connect=CONNECT_SECONDS, sock_read=patience)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEPALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                auto_decompress=False,
                timeout=self._timeout,
                read_bufsize=READ_BUFFER,
            )
        return self._session


def escape(text: str) -> str:
    """Escape a key for a path, or a value for a query string, as SigV4 does."""
    return quote(text, safe="/-_.~")


def down(error: BaseException) -> DependencyDown:
    """Turn a failure of the transport into `DependencyDown("minio", …)`."""
    return DependencyDown("minio", f"{type(error).__name__}: {error}"[:300])


def _payload(body: bytes | Path | None) -> bytes | io.BufferedIOBase | None:
    if isinstance(body, Path):
        return body.open("rb")  # aiohttp reads it in pieces, in a thread, and closes it
    # aiohttp wants a large body as a file, which it writes in pieces; small bytes go out with the headers.
    return io.BytesIO(body) if body is not None and len(body) > LARGE_BODY else body


async def drain(response: aiohttp.ClientResponse) -> bytes:
    """Read the rest of a response's body and give its connection back.

    Raises:
        DependencyDown: The body ended early, or nothing came for too long.
    """
    try:
        return await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise down(error) from error


async def _failure(response: aiohttp.ClientResponse, request: Request) -> InfraError:
    body = await response.content.read(_ERROR_BODY_LIMIT)
    response.release()
    # HEAD has no body: MinIO repeats code and message in headers.
    code = response.headers.get("x-minio-error-code") or _text(body, "Code") or response.reason or "no code"
    message = response.headers.get("x-minio-error-desc") or _text(body, "Message") or ""
    status = response.status
    delete_marker = status == HTTPStatus.METHOD_NOT_ALLOWED and "x-amz-delete-marker" in response.headers
    # What isn't a version id at all can't name bytes either.
    malformed = code == "InvalidArgument" and "version id" in message
    if code in {"NoSuchKey", "NoSuchVersion"} or delete_marker or malformed:
        return Gone(request.key)
    # A bucket that isn't there means a store that isn't provisioned, not that an upload was lost.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS or code == "NoSuchBucket":
        return DependencyDown("minio", f"{status} {code}")
    if status == HTTPStatus.PRECONDITION_FAILED:
        return PreconditionFailed(request.key)
    return StoreRefused(status, code, f"{request.method} {request.key}")


def _text(body: bytes, name: str) -> str | None:
    try:
        return ET.fromstring(body).findtext(name)  # noqa: S314 - our own MinIO's answer, at most 16 KiB
    except ET.ParseError:
        return None
