"""The sizes of a picture, from its upload to `ready`."""

import hashlib
import io
from typing import Any

import pytest
from PIL import Image

from infra.local.threaded import ThreadedStack
from schemas.document import CloudEvent, event_name
from schemas.objects import ObjectRef
from schemas.profiles import ImageProfile, Variant
from schemas.renditions import rendition_key
from tests.samples import images
from tests.system import System, provisioned, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = ImageProfile(
    description="none",
    variants=(
        Variant(name="avatar", longest=32, square=True),
        Variant(name="thumb", longest=60, quality="low"),
        Variant(name="full", longest=2048, quality="high"),
    ),
    formats=("webp", "jpeg"),
)


async def outcome(system: System, body: bytes, content_type: str, **changes: Any) -> CloudEvent:
    """What becomes of product `sizes`."""
    async with working(system, images=SIZES, **changes):
        media_id = await system.upload(body, content_type)
        await system.ended(media_id)
        fold = await system.fold(media_id)
    ended = fold.products()["sizes"]
    assert ended is not None
    return ended


async def test_from_upload_to_ready(stack: ThreadedStack) -> None:
    """Every variant in each format lies where its name says, is what the event says, and the media is ready."""
    async with provisioned(stack) as system:
        ended = await outcome(system, images.image("turned.jpg"), "image/jpeg")
        assert event_name(ended) == "done"
        found = {each["name"]: each for each in ended["data"]["renditions"]}
        assert {name: (each["width"], each["height"], each.get("quality")) for name, each in found.items()} == {
            "avatar.webp": (32, 32, None),
            "avatar.jpg": (32, 32, None),
            "thumb.webp": (40, 60, "low"),
            "thumb.jpg": (40, 60, "low"),
            "full.webp": (80, 120, "high"),
            "full.jpg": (80, 120, "high"),
        }
        for name, each in found.items():
            key = rendition_key(ended["subject"], name)
            body = await system.objects.get(ObjectRef(bucket=system.settings.bucket, key=key, size=0))
            info = await system.objects.head(key)
            assert info is not None
            assert (
                info.content_type
                == each["content_type"]
                == {"webp": "image/webp", "jpg": "image/jpeg"}[name[-4:].lstrip(".")]
            )
            assert (len(body), hashlib.sha256(body).hexdigest()) == (each["size"], each["sha256"])
            with Image.open(io.BytesIO(body)) as image:
                assert image.size == (each["width"], each["height"])
