"""What looks like a picture, for those who may see it."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from infra.local.threaded import ThreadedStack
from schemas.events import Deleted, Done
from schemas.media import Identity
from schemas.renditions import ImageDescription
from tests.gateway.conftest import running
from tests.gateway.running import Running, Story
from tests.gateway.test_listing import Person
from tests.gateway.test_media import conforms

pytestmark = pytest.mark.asyncio(loop_scope="module")

JPEG = Identity(kind="image", content_type="image/jpeg", extension="jpg")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(provisioned: ThreadedStack) -> AsyncGenerator[Running]:
    """One gateway for all of these."""
    async with running(provisioned) as one:
        yield one


async def picture(gateway: Running, person: Person, perceptual_hash: int, **wish: Any) -> str:
    """A picture of somebody's that looks so."""
    media_id = await person.uploads(**wish)
    story = await Story.of(gateway.operator, media_id)
    description = ImageDescription(thumbhash="AAAA", color="#000000", perceptual_hash=f"{perceptual_hash:016x}")
    done = Done(media=story.media, identity=JPEG, product="description", required=False, description=description)
    await story.say("describe_image", done)
    await person.recorded(media_id)
    return media_id


async def similar(gateway: Running, person: Person, media_id: str, query: str = "") -> list[tuple[str, int]]:
    """Ids and differences of what is found."""
    answer = await gateway.call("GET", f"/v1/media/{media_id}/similar?{query}", token=person.token)
    assert answer.status == 200, answer.body
    conforms(answer.body, "SimilarPage")
    return [(item["media_id"], item["different"]) for item in answer.body["items"]]


async def test_the_owners_pictures_that_look_alike(gateway: Running, provisioned: ThreadedStack) -> None:
    """The nearest first, within the distance that is asked for; not itself, not others', not what was deleted."""
    alice, bob = Person(gateway, provisioned), Person(gateway, provisioned)
    one = await picture(gateway, alice, 0xFF00FF00FF00FF00)
    near = await picture(gateway, alice, 0xFF00FF00FF00FF03)
    edge = await picture(gateway, alice, 0xFC00FF03FF0CFF03)
    await picture(gateway, alice, 0xFC03FC03FC03FF00)
    await picture(gateway, bob, 0xFF00FF00FF00FF00)
    gone = await picture(gateway, alice, 0xFF00FF00FF00FF00)
    story = await Story.of(gateway.operator, await alice.uploads())
    story.media = story.media.model_copy(update={"media_id": gone})
    story.cause = story.cause.model_copy(update={"subject": gone})
    await story.say("gateway", Deleted(media=story.media, deleted_by=alice.name))
    await alice.recorded(gone)
    assert await similar(gateway, alice, one) == [(near, 2), (edge, 8)]
    assert await similar(gateway, alice, one, "different=1") == []
    assert await similar(gateway, alice, near, "limit=1") == [(one, 2)]


async def test_only_what_the_caller_may_see(gateway: Running, provisioned: ThreadedStack) -> None:
    """Who shares one picture's audience finds those of the owner's that are shared with him, and no others."""
    alice, bob = Person(gateway, provisioned, "team"), Person(gateway, provisioned, "team")
    shown = await picture(gateway, alice, 0x0F, audience=["team"])
    also = await picture(gateway, alice, 0x0F, audience=["team"])
    private = await picture(gateway, alice, 0x0F)
    assert await similar(gateway, bob, shown) == [(also, 0)]
    assert {found for found, _ in await similar(gateway, alice, shown)} == {also, private}
    answer = await gateway.call("GET", f"/v1/media/{private}/similar", token=bob.token)
    assert answer.status == 404


async def test_a_media_without_looks(gateway: Running, provisioned: ThreadedStack) -> None:
    """What is no picture, or not described yet, looks like nothing; a distance that can't be is refused."""
    alice = Person(gateway, provisioned)
    plain = await alice.uploads("finish")
    answer = await gateway.call("GET", f"/v1/media/{plain}/similar", token=alice.token)
    assert (answer.status, answer.body) == (200, {"perceptual_hash": None, "items": []})
    refused = await gateway.call("GET", f"/v1/media/{plain}/similar?different=11", token=alice.token)
    assert refused.status == 422
