"""What the same storage and scan operations cost without Tidegate: the bare limit, and what teams write today.

Both do per file: presign, put, ranged get, get into clamd, copy, delete, one MongoDB upsert.
"""

import asyncio
import io
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from pymongo import AsyncMongoClient, MongoClient

from bench.pdf import unique_pdf
from infra.clamd import Clamd
from infra.objects import Objects
from infra.presign import Presigner
from infra.settings import Settings
from schemas.objects import ObjectRef

OPERATIONS = {
    "presign": 1,
    "minio put": 1,
    "minio ranged get": 1,
    "minio get": 1,
    "clamd scan": 1,
    "minio copy": 1,
    "minio delete": 1,
    "mongodb upsert": 1,
}
HEAD = 4096
PDF = "application/pdf"


async def bare(
    settings: Settings, signer: Presigner, seeds: Iterator[int], files: int, at_once: int, size: int
) -> float:
    """The project's own thin client in one event loop; files a second."""
    clamd = Clamd.from_settings(settings)
    mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongo_url)
    collection = mongo[settings.mongo_database]["bench"]
    todo = iter(range(files))

    async with Objects.from_settings(settings) as objects, aiohttp.ClientSession() as http:

        async def one() -> None:
            body, name = unique_pdf(next(seeds), size), str(uuid4())
            signed = signer.presign_put(f"temp/{name}", content_type=PDF, size=len(body), expires=900)
            async with http.put(signed.url, data=body, headers=signed.headers) as answer:
                assert answer.status == 200, await answer.text()  # noqa: PLR2004
                version = answer.headers["x-amz-version-id"]
            ref = ObjectRef(bucket=settings.bucket, key=f"temp/{name}", version_id=version, size=len(body))
            await objects.get(ref, 0, HEAD)
            async with objects.open(ref) as chunks:
                verdict = await clamd.scan(chunks)
            assert verdict.status == "clean"
            copied = await objects.copy(ref, f"permanent/{name}/original.pdf", content_type=PDF)
            assert copied.sha256 == verdict.sha256
            await objects.delete(ref.key, version)
            await collection.update_one(
                {"_id": name}, {"$set": {"state": "ready", "sha256": copied.sha256}}, upsert=True
            )

        async def worker() -> None:
            for _ in todo:
                await one()

        await one()
        started = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        seconds = time.perf_counter() - started
    await mongo.close()
    return files / seconds


def sdk_loop(settings: Settings, signer: Settings, seeds: Iterator[int], files: int, threads: int, size: int) -> float:
    """The minio SDK in a pool of threads, with a connection pool as large; files a second."""
    pool = urllib3.PoolManager(maxsize=threads * 2, timeout=urllib3.Timeout(connect=2, read=30), retries=False)
    client, presigner = _client(settings, pool), _client(signer, pool, signing=True)
    mongo: MongoClient[dict[str, Any]] = MongoClient(settings.mongo_url, maxPoolSize=threads)
    collection = mongo[settings.mongo_database]["bench"]
    bucket = settings.bucket

    def one(seed: int) -> None:
        body, name = unique_pdf(seed, size), str(uuid4())
        url = presigner.presigned_put_object(
            bucket_name=bucket, object_name=f"temp/{name}", expires=timedelta(seconds=900)
        )
        answer = pool.request("PUT", url, body=body, headers={"Content-Type": PDF})
        assert answer.status == 200, answer.data  # noqa: PLR2004
        version = answer.headers["x-amz-version-id"]
        where = {"bucket_name": bucket, "object_name": f"temp/{name}", "version_id": version}
        _read(client.get_object, **where, offset=0, length=HEAD)
        content = _read(client.get_object, **where)
        assert _instream(settings.clamd_socket, content) == b"stream: OK\0"
        client.copy_object(
            bucket_name=bucket,
            object_name=f"permanent/{name}/original.pdf",
            source=CopySource(bucket_name=bucket, object_name=f"temp/{name}", version_id=version),
        )
        client.remove_object(**where)
        collection.update_one({"_id": name}, {"$set": {"state": "ready"}}, upsert=True)

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(one, itertools.islice(seeds, threads)))
        started = time.perf_counter()
        list(executor.map(one, itertools.islice(seeds, files)))
        seconds = time.perf_counter() - started
    mongo.close()
    pool.clear()
    return files / seconds


def _client(settings: Settings, pool: urllib3.PoolManager, *, signing: bool = False) -> Minio:
    url = urlsplit(settings.minio_url)
    secret = settings.signer_secret_key if signing else settings.minio_secret_key
    return Minio(
        endpoint=url.netloc,
        access_key=settings.signer_access_key if signing else settings.minio_access_key,
        secret_key=secret.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.minio_region,
        http_client=pool,
    )


def _read(get: Callable[..., Any], **where: Any) -> bytes:
    response = get(**where)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def _instream(address: str, content: bytes) -> bytes:
    """One INSTREAM in 64 KiB chunks: PyPI's clamd sends 1 KiB at a time, which would slow the reference down."""
    with socket.socket(socket.AF_UNIX) as clamd:
        clamd.connect(address)
        clamd.sendall(b"zINSTREAM\0")
        source = io.BytesIO(content)
        while chunk := source.read(65536):
            clamd.sendall(len(chunk).to_bytes(4, "big") + chunk)
        clamd.sendall(bytes(4))
        return clamd.recv(4096)
