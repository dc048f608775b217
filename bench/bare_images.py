"""What the same storage, scan and rendering cost without Tidegate: libvips in two threads, in one event loop.

Per photo: presign, put, ranged get, get into clamd, copy, three renditions by libvips, three puts, delete, one MongoDB
upsert. What was read for clamd is what is rendered: less can't be read.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import uuid4

import aiohttp
from pymongo import AsyncMongoClient

from infra.clamd import Clamd
from infra.objects import Objects
from infra.presign import Presigner
from infra.settings import Settings
from schemas.objects import ObjectRef

# Two photos at once keep two cores busy: threads of libvips's own beside that were slower.
os.environ.setdefault("VIPS_CONCURRENCY", "1")

import pyvips

SIZES: Final = {"full": 2048, "preview": 1080, "thumb": 300}
QUALITY: Final = 80
THREADS: Final = 2
OPERATIONS = {
    "presign": 1,
    "minio put": 4,
    "minio ranged get": 1,
    "minio get": 1,
    "clamd scan": 1,
    "minio copy": 1,
    "minio delete": 1,
    "mongodb upsert": 1,
}
HEAD = 4096
JPEG = "image/jpeg"
STORED = 200


async def bare(settings: Settings, signer: Presigner, photos: Iterator[bytes], files: int, at_once: int) -> float:
    """The project's own thin client and libvips; photos a second."""
    clamd = Clamd.from_settings(settings)
    mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongo_url)
    collection = mongo[settings.mongo_database]["bench"]
    todo = iter(range(files))
    loop = asyncio.get_running_loop()
    pyvips.cache_set_max(0)

    async with Objects.from_settings(settings) as objects, aiohttp.ClientSession() as http:
        with ThreadPoolExecutor(THREADS) as threads:

            async def one() -> None:
                body, name = next(photos), str(uuid4())
                signed = signer.presign_put(f"temp/{name}", content_type=JPEG, size=len(body), expires=900)
                async with http.put(signed.url, data=body, headers=signed.headers) as answer:
                    assert answer.status == STORED, await answer.text()
                    version = answer.headers["x-amz-version-id"]
                ref = ObjectRef(bucket=settings.bucket, key=f"temp/{name}", version_id=version, size=len(body))
                await objects.get(ref, 0, HEAD)
                kept: list[bytes] = []
                async with objects.open(ref) as chunks:
                    verdict = await clamd.scan(_keeping(chunks, kept))
                assert verdict.status == "clean"
                copied = await objects.copy(ref, f"permanent/{name}/original.jpg", content_type=JPEG)
                assert copied.sha256 == verdict.sha256
                made = await loop.run_in_executor(threads, render, b"".join(kept))
                puts = (
                    objects.put(f"permanent/{name}/{size}.jpg", content, content_type=JPEG)
                    for size, content in made.items()
                )
                await asyncio.gather(*puts)
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


async def _keeping(chunks: AsyncIterator[bytes], kept: list[bytes]) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        kept.append(chunk)
        yield chunk


def render(body: bytes) -> dict[str, bytes]:
    """Decode once, each size of the next larger one."""
    made: dict[str, bytes] = {}
    image: Any = None
    for name, longest in SIZES.items():
        if image is None:
            image = pyvips.Image.thumbnail_buffer(body, longest, height=longest, size="down")
        else:
            image = image.thumbnail_image(longest, height=longest, size="down")
        image = image.copy_memory()
        made[name] = image.jpegsave_buffer(Q=QUALITY, keep="none")
    return made
