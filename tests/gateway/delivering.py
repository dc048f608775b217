"""Media whose files are really there: put in place, and announced by the events that functions would say."""

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from infra.local.threaded import ThreadedStack
from infra.objects import Objects
from schemas.events import (
    Deleted,
    Done,
    Failed,
    Identified,
    Playable,
    Probed,
    Promoted,
    Ready,
    Scanned,
    Skipped,
    Uploaded,
)
from schemas.media import Identity, Product
from schemas.objects import ObjectRef
from schemas.probe import PdfProbe
from schemas.renditions import Description, Rendition, rendition_key
from schemas.subjects import original_key
from schemas.types import TYPES
from tests.gateway.running import CLEAN, Running, Story
from tests.samples.streams import FRAMES, RUNGS, SECONDS, stream

TYPE_OF = {
    "m3u8": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml", "m4s": "video/iso.segment",
    "mp4": "video/mp4", "webp": "image/webp", "jpg": "image/jpeg", "avif": "image/avif", "m4a": "audio/mp4",
    "json": "application/json", "html": "text/html", "vtt": "text/vtt",
}  # fmt: skip


class Delivered:
    """One promoted media of a gateway's, and what is said of its products."""

    def __init__(self, gateway: Running, stack: ThreadedStack, story: Story, identity: Identity, body: bytes) -> None:
        self.gateway = gateway
        self.stack = stack
        self.story = story
        self.identity = identity
        self.body = body
        self.media_id: str = story.media.media_id
        self.original = original_key(self.media_id, identity.extension)

    @classmethod
    async def of(
        cls,
        gateway: Running,
        stack: ThreadedStack,
        content_type: str = "image/jpeg",
        body: bytes = b"\xff\xd8 the original \xff\xd9",
        *,
        promised: Sequence[str] = (),
        optional: Sequence[str] = (),
        token: str | None = None,
        **wish: Any,
    ) -> "Delivered":
        """Request, and promote what was put there; nothing of it is made yet."""
        media_id = await gateway.requested(token=token, content_type=content_type, size=max(len(body), 1), **wish)
        one = cls(gateway, stack, await Story.of(gateway.operator, media_id), TYPES[content_type], body)
        await one.put({one.original: body})
        facts = one.facts()
        products = tuple(Product(name=name, required=name in promised) for name in (*promised, *optional))
        for function, model in (
            ("receive", Uploaded),
            ("identify", Identified),
            ("scan", Scanned),
            ("probe", Probed),
        ):
            await one.story.say(function, model(**facts))
        await one.story.say("promote", Promoted(**facts, products=products))
        return one

    def facts(self) -> dict[str, Any]:
        """What its promotion carries."""
        sha256 = hashlib.sha256(self.body).hexdigest()
        size, bucket = len(self.body), self.gateway.settings.bucket
        return {
            "media": self.story.media,
            "object": ObjectRef(bucket=bucket, key=f"temp/{self.media_id}", version_id="v1", size=size),
            "uploaded_at": datetime.now(UTC),
            "identity": self.identity,
            "verdict": CLEAN,
            "probe": PdfProbe(pages=3, encrypted=False, width_points=595, height_points=842),
            "original": ObjectRef(bucket=bucket, key=self.original, size=size, sha256=sha256),
        }

    async def put(self, objects: dict[str, bytes]) -> None:
        """Put objects in place by their keys."""
        async with Objects.from_settings(self.stack.settings("functions")) as store:
            for key, body in objects.items():
                await store.put(key, body, content_type=TYPE_OF.get(key.rpartition(".")[2], "application/octet-stream"))

    async def removed(self, name: str) -> None:
        """Take a file's object away."""
        async with Objects.from_settings(self.stack.settings("functions")) as store:
            await store.delete(rendition_key(self.media_id, name))

    async def keys(self) -> list[str]:
        """Every object of the media under permanent/ and work/."""
        found: list[str] = []
        async with Objects.from_settings(self.stack.settings("operator")) as store:
            for place in ("permanent", "work"):
                async with aclosing(store.list(f"{place}/{self.media_id}/")) as entries:
                    found += [entry.key async for entry in entries]
        return found

    async def say(self, function: str, event: Any) -> None:
        """Say what a function makes of the promoted file."""
        promoted = self.story.cause
        await self.story.say(function, event)
        self.story.cause = promoted

    async def made(
        self,
        product: str,
        files: dict[str, bytes],
        description: Description | None = None,
        facts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Put a product's files in place and say that it is done; `facts` of a file by its name without extension."""
        await self.put({rendition_key(self.media_id, name): body for name, body in files.items()})
        renditions = tuple(
            Rendition(
                name=name,
                content_type=TYPE_OF[name.rpartition(".")[2]],
                size=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
                **(facts or {}).get(name.partition(".")[0], {}),
            )
            for name, body in files.items()
        )
        done = Done(
            media=self.story.media,
            identity=self.identity,
            product=product,
            required=False,
            renditions=renditions,
            description=description,
        )
        await self.say(f"make_{product}", done)

    async def skipped(self, product: str, *, required: bool = False) -> None:
        """Say that a product can't be made."""
        said: dict[str, Any] = {
            "code": "corrupt",
            "reason": "It is broken.",
            "product": product,
            "required": required,
        }
        await self.say(f"make_{product}", Skipped(media=self.story.media, identity=self.identity, **said))

    async def failed(self, product: str, *, required: bool = False) -> None:
        """Say that a function gave up on a product."""
        failed = Failed(
            media=self.story.media,
            identity=self.identity,
            function=f"make_{product}",
            products=(product,),
            required=required,
            error="OSError: full",
        )
        await self.say(failed.function, failed)

    async def streamed(self, folder: str = "stream", *, playable: bool = False) -> None:
        """Put a stream in place and say that it is done, or that it can be played already."""
        await self.put({rendition_key(self.media_id, f"{folder}/{name}"): body for name, body in stream().items()})
        renditions = tuple(
            Rendition(
                name=f"{folder}/{name}",
                content_type=TYPE_OF[name.rpartition(".")[2]],
                size=len(stream()[name]),
                width=RUNGS[0][0],
                height=RUNGS[0][1],
                duration_seconds=SECONDS,
                frames=FRAMES,
            )
            for name in ("master.m3u8", "manifest.mpd")
        )
        if playable:
            await self.say(
                "encode_first", Playable(media=self.story.media, identity=self.identity, renditions=renditions)
            )
            return
        done = Done(
            media=self.story.media, identity=self.identity, product="stream", required=True, renditions=renditions
        )
        await self.say("package_video", done)

    async def ready(self) -> None:
        """Say that it can be used."""
        facts = self.facts()
        await self.say("finish", Ready(**{name: facts[name] for name in ("media", "identity", "original")}))

    async def deleted(self) -> None:
        """Say that its owner wants it gone."""
        await self.say("gateway", Deleted(media=self.story.media, deleted_by="alice"))

    def path(self, path: str = "") -> str:
        """An address of it."""
        return f"/v1/media/{self.media_id}{path}"

    async def status(self, token: str | None = None) -> dict[str, Any]:
        """What is said of it."""
        answer = await self.gateway.status(self.media_id, token)
        assert answer.status == 200, answer.body
        return answer.body


def ffprobe(url: str) -> dict[str, Any]:
    """What a player finds at an address: its streams, every packet counted."""
    done = subprocess.run(
        ["ffprobe", "-loglevel", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json", url],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b"", done.stderr.decode()
    return json.loads(done.stdout)
