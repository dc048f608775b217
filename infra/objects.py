"""The objects of one bucket: read, written, copied, deleted and listed through one thin async client."""

import asyncio
import copy
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from infra.errors import DependencyDown, Gone, StoreRefused
from infra.listing import Entry, VersionsPage, objects_page, versions_page
from infra.object_headers import ObjectInfo, metadata_headers, read_etag, read_info, read_sha256
from infra.s3 import READ_SECONDS, S3, Request, down, drain, escape
from infra.settings import Settings
from infra.sigv4 import UNSIGNED
from schemas.objects import ObjectRef

TEMP: Final = "temp/"
PERMANENT: Final = "permanent/"

# What `promote` writes on the object it makes, and `resolve` looks for.
SOURCE_VERSION: Final = "tidegate-source-version"
SOURCE_SHA256: Final = "tidegate-sha256"

MIB: Final = 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024
# Up to here a body's SHA-256 is signed; beyond, hashing it twice (here and in MinIO) costs more than the rest.
SIGNED_BODY_BYTES: Final = 64 * 1024
# The slowest disk a copy or a write is waited for: a server that is this slow is as good as down.
SLOWEST_BYTES_PER_SECOND: Final = 8 * MIB
PROBE_SECONDS: Final = 2.0

_PROBE_KEY: Final = f"{PERMANENT}.probe"


@dataclass(frozen=True, slots=True)
class Copied:
    """What MinIO says of a copy it made: the ETag, and the SHA-256 (hexadecimal) it computed on the way."""

    etag: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: its ETag, its size in bytes and its SHA-256 (hexadecimal)."""

    etag: str
    size: int
    sha256: str


class Objects:
    """One bucket.

    Every get, copy and delete under `temp/` names the version; a reference that doesn't is a `ValueError`. Every
    method can raise `DependencyDown("minio", …)` and `StoreRefused`.
    """

    def __init__(
        self,
        *,
        url: str,
        region: str,
        access_key: str,
        secret_key: str,
        bucket: str,
        connections: int = 64,
        timeout: float = READ_SECONDS,
    ) -> None:
        self.bucket = bucket
        self._s3 = S3(
            url=url,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            bucket=bucket,
            connections=connections,
            timeout=timeout,
        )
        self._promoted_first = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Connect as this process is told to."""
        return cls(
            url=settings.minio_url,
            region=settings.minio_region,
            access_key=settings.minio_access_key,
            secret_key=settings.minio_secret_key.get_secret_value(),
            bucket=settings.bucket,
        )

    def for_replays(self) -> Self:
        """The same bucket over the same connections, where what was promoted is read before its version under `temp/`.

        That version was deleted: whoever makes MinIO write it again puts bytes there that the file never had.
        """
        view = copy.copy(self)
        view._promoted_first = True  # noqa: SLF001 - our own
        return view

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._s3.aclose()

    async def alive(self) -> None:
        """Return if MinIO serves reads of this bucket within two seconds.

        Looks for an object that never exists, which makes MinIO ask its drives; `/minio/health/live` is answered
        without them. A refusal for want of rights is an answer too: the credentials' owner finds out elsewhere.

        Raises:
            DependencyDown: It doesn't.
        """
        try:
            await self._s3.fetch(Request("HEAD", _PROBE_KEY, patience=PROBE_SECONDS))
        except (Gone, StoreRefused):
            return

    async def head(self, key: str, version_id: str | None = None, *, checksum: bool = False) -> ObjectInfo | None:
        """Say what is stored under a key, or None if nothing is.

        Args:
            key: The object's key.
            version_id: The version; none: the newest, which under `temp/` is only good for asking, not for acting.
            checksum: Ask for MinIO's stored SHA-256 as well.
        """
        headers = {"x-amz-checksum-mode": "ENABLED"} if checksum else {}
        request = Request("HEAD", key, _version(version_id), headers, patience=self._s3.patience)
        try:
            answer, _ = await self._s3.fetch(request)
        except Gone:
            return None
        return read_info(answer)

    async def get(self, ref: ObjectRef, start: int = 0, length: int | None = None, *, at_most: int = 16 * MIB) -> bytes:
        """Read an object, or `length` bytes of it from `start`; less where the object ends earlier.

        Args:
            ref: What to read; a version under `temp/` that is gone resolves to what was promoted from it.
            start: Offset in bytes.
            length: Bytes to read; none: to the end.
            at_most: Refuse to hold more than this many bytes in memory.

        Raises:
            Gone: There are no bytes.
            ValueError: It is more than `at_most`, or an unversioned reference under `temp/`.
        """
        try:
            response = await self._opened(ref, _range(start, length))
        except StoreRefused as error:
            if error.code == "InvalidRange":  # it begins after the object's end
                return b""
            raise
        if (size := response.content_length or 0) > at_most:
            response.close()
            raise ValueError(f"{ref.key}: {size} bytes to read, {at_most} allowed; use open()")
        return await drain(response)

    @asynccontextmanager
    async def open(self, ref: ObjectRef) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Read an object of any size in chunks of 64 KiB or more (the last one may be smaller), in flat memory.

        Raises:
            Gone: There are no bytes.
            DependencyDown: Also from the iterator, when the body ends early or nothing comes for ten seconds.
            ValueError: An unversioned reference under `temp/`.
        """
        response = await self._opened(ref, {})
        chunks = _chunks(response)
        try:
            yield chunks
        finally:
            await chunks.aclose()
            response.close()  # a body read to its end has given its connection back already

    @asynccontextmanager
    async def read(self, key: str, etag: str, start: int, length: int) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Read a part of an object, as long as it is the one whose ETag was seen; in flat memory, as `open` does.

        Args:
            key: The object's key.
            etag: Its ETag without quotes.
            start: Offset in bytes.
            length: How many bytes, at least one.

        Raises:
            Gone: There is no such object.
            PreconditionFailed: It is another by now.
            DependencyDown: Also from the iterator, when the body ends early or nothing comes for ten seconds.
        """
        headers = {"If-Match": f'"{etag}"', **_range(start, length)}
        response = await self._s3.send(Request("GET", key, headers=headers))
        chunks = _chunks(response)
        try:
            yield chunks
        finally:
            await chunks.aclose()
            response.close()

    async def resolve(self, ref: ObjectRef) -> ObjectRef:
        """Say where the bytes of a reference are now: under it, or in the object that was promoted from it.

        Raises:
            Gone: In neither place.
        """
        if self._promoted_first and (moved := await self._found_promoted(ref)):
            return moved
        if await self.head(ref.key, _named(ref)) is not None:
            return ref
        return await self._promoted(ref)

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> str:
        """Write an object and return its ETag.

        Args:
            key: The object's key.
            data: Its bytes.
            content_type: Its media type.
            metadata: User metadata: names and values in printable ASCII.
            if_match: Only if the present object's ETag is this one.
            if_none_match: Only if there is no object.

        Raises:
            PreconditionFailed: The condition didn't hold, or held but the answer was lost and the write repeated.
            ValueError: Metadata that HTTP can't carry as it is.
        """
        headers = {"Content-Type": content_type, **metadata_headers(metadata)}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if if_none_match:
            headers["If-None-Match"] = "*"
        digest = hashlib.sha256(data).hexdigest() if len(data) <= SIGNED_BODY_BYTES else UNSIGNED
        answer, _ = await self._s3.fetch(Request("PUT", key, "", headers, data, digest, self._patience(len(data))))
        return read_etag(answer)

    async def put_file(self, key: str, path: Path, *, content_type: str) -> Stored:
        """Write a file of any size as an object, in flat memory; what is there is replaced.

        Args:
            key: The object's key.
            path: The file, which nobody changes meanwhile.
            content_type: Its media type.

        Raises:
            OSError: The file can't be read.
        """
        size, digest = await asyncio.to_thread(_digest, path)
        request = Request("PUT", key, "", {"Content-Type": content_type}, path, UNSIGNED, self._patience(size))
        answer, _ = await self._s3.fetch(request)
        return Stored(read_etag(answer), size, digest)

    async def copy(
        self, source: ObjectRef, key: str, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> Copied:
        """Copy an object inside MinIO, give it new metadata, and return the SHA-256 that MinIO computed.

        Args:
            source: What to copy, in its own bucket; under `temp/` with its version.
            key: Where to, in this bucket. What is there is replaced.
            content_type: The copy's media type.
            metadata: The copy's user metadata; the source's is left behind.

        Raises:
            Gone: The source isn't there (what was promoted from it isn't looked for).
            ValueError: An unversioned reference under `temp/`.
        """
        version = _version(_named(source))
        path = f"/{source.bucket}/{escape(source.key)}"
        headers = {
            "Content-Type": content_type,
            "x-amz-copy-source": f"{path}?{version}" if version else path,
            "x-amz-metadata-directive": "REPLACE",
            "x-amz-tagging-directive": "REPLACE",
            "x-amz-checksum-algorithm": "SHA256",
            **metadata_headers(metadata),
        }
        request = Request("PUT", key, "", headers, patience=self._patience(source.size))
        try:
            answer, body = await self._s3.fetch(request)
        except Gone as error:
            raise Gone(source.key, source.version_id) from error
        checksum = read_sha256(answer)
        # S3 may find out after it has sent 200 that a copy failed.
        if b"<CopyObjectResult" not in body or checksum is None:
            raise DependencyDown("minio", f"copy of {source.key} answered without a result and checksum")
        return Copied(read_etag(answer), checksum)

    async def delete(self, key: str, version_id: str | None = None) -> None:
        """Remove one version of an object for good; what isn't there is fine.

        Raises:
            ValueError: A key under `temp/` without a version: that would hide the object, not remove it.
        """
        if key.startswith(TEMP) and not version_id:
            raise ValueError(f"{key}: name the version to delete")
        try:
            await self._s3.fetch(Request("DELETE", key, _version(version_id), patience=self._s3.patience))
        except Gone:
            return

    async def list(self, prefix: str, start_after: str = "") -> AsyncGenerator[Entry]:
        """List the objects under a prefix in key order, after `start_after`, a page in memory at a time."""
        token = ""
        while True:
            entries, token = await objects_page(self._s3, prefix, start_after, token)
            for entry in entries:
                yield entry
            if not token:
                return

    async def list_versions(self, prefix: str, key_marker: str = "", version_marker: str = "") -> AsyncGenerator[Entry]:
        """List all versions under a prefix, a page in memory at a time.

        In key order, the newest version of a key first. The last entry's key and version are the markers to go on
        with, in another process if need be; a key marker alone goes on at the next key.
        """
        page = VersionsPage([], key_marker, version_marker)
        while True:
            page = await versions_page(self._s3, prefix, page.next_key, page.next_version)
            for entry in page.entries:
                yield entry
            if not page.next_key:
                return

    async def _opened(self, ref: ObjectRef, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Start reading, from the promoted object if need be."""
        if self._promoted_first and (moved := await self._found_promoted(ref)):
            ref = moved
        try:
            response = await self._s3.send(Request("GET", ref.key, _version(_named(ref)), headers))
        except Gone:
            moved = await self._promoted(ref)
            response = await self._s3.send(Request("GET", moved.key, _version(moved.version_id), headers))
        if response.content_length is None:  # nothing would tell a whole body from half of one
            response.close()
            raise DependencyDown("minio", f"GET {ref.key} answered without a length")
        return response

    async def _promoted(self, ref: ObjectRef) -> ObjectRef:
        if moved := await self._found_promoted(ref):
            return moved
        raise Gone(ref.key, ref.version_id)

    async def _found_promoted(self, ref: ObjectRef) -> ObjectRef | None:
        media_id = ref.key.removeprefix(TEMP)
        if media_id != ref.key:
            async for entry in self.list(f"{PERMANENT}{media_id}/original."):
                info = await self.head(entry.key)
                if info and info.size == ref.size and info.metadata.get(SOURCE_VERSION) == ref.version_id:
                    sha256 = info.metadata.get(SOURCE_SHA256)
                    return ref.model_copy(
                        update={"key": entry.key, "version_id": info.version_id, "sha256": sha256 or ref.sha256}
                    )
        return None

    def _patience(self, size: int) -> float:
        return self._s3.patience + size / SLOWEST_BYTES_PER_SECOND


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Gather what the socket gives into chunks that are worth a system call and a hash update each."""
    gathered: list[bytes] = []
    size = 0
    try:
        while data := await response.content.readany():
            if not gathered and len(data) >= CHUNK_BYTES:
                yield data
                continue
            gathered.append(data)
            size += len(data)
            if size >= CHUNK_BYTES:
                yield b"".join(gathered)
                gathered.clear()
                size = 0
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise down(error) from error
    if gathered:
        yield b"".join(gathered)


def _named(ref: ObjectRef) -> str | None:
    if ref.version_id is None and ref.key.startswith(TEMP):
        raise ValueError(f"{ref.key}: a reference under {TEMP} names its version")
    return ref.version_id


def _version(version_id: str | None) -> str:
    return f"versionId={escape(version_id)}" if version_id else ""


def _range(start: int, length: int | None) -> dict[str, str]:
    if start == 0 and length is None:
        return {}
    return {"Range": f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"}
