"""What a picture looks like in a few bytes, whichever way its sizes went."""

import pytest

from schemas.document import CloudEvent, event_name
from schemas.profiles import ImageProfile, Variant
from tests.samples import images
from tests.system import System, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = Variant(name="large", longest=2048)
SMALL = Variant(name="small", longest=130)


async def described(system: System, profile: ImageProfile, body: bytes | None = None) -> dict[str, CloudEvent | None]:
    """What becomes of the products of a photo of 640 pixels."""
    async with working(system, images=profile):
        media_id = await system.upload(body or images.real("rocket"), "image/jpeg")
        await system.ended(media_id)
        return (await system.fold(media_id)).products()


def distance(one: CloudEvent | None, other: CloudEvent | None) -> int:
    """How many bits of their perceptual hashes differ."""
    assert one is not None
    assert other is not None
    hashes = [int(each["data"]["description"]["perceptual_hash"], 16) for each in (one, other)]
    return (hashes[0] ^ hashes[1]).bit_count()


async def test_of_a_size_or_of_the_original(system: System) -> None:
    """With sizes and without the picture is described, and much the same; so is one too small for any size."""
    by_size = await described(system, ImageProfile(variants=(LARGE, SMALL), formats=("webp", "jpeg")))
    alone = await described(system, ImageProfile(sizes="none"))
    tiny = await described(system, ImageProfile(variants=(SMALL,)), images.image("plain.jpg"))
    assert list(by_size) == ["sizes", "description"]
    assert list(alone) == ["description"]
    for each in (by_size, alone, tiny):
        ended = each["description"]
        assert ended is not None
        assert event_name(ended) == "done"
        assert not ended["data"]["required"]
    assert distance(by_size["description"], alone["description"]) <= 2
