"""Pictures that hurt whoever renders them."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli import application
from functions.image.render import render_image
from infra.context import Context
from infra.decoder import DecoderPool
from schemas.document import event_name
from schemas.events import Done, Promoted
from tests.functions.image.test_render import SIZES
from tests.samples import images
from tests.system import System, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
JOBS = Path(__file__).parents[2] / "infra" / "decoder" / "hostile.py"


@pytest.mark.parametrize(("job", "code"), [("hang", "decode_timeout"), ("segfault", "decode_crash")])
async def test_a_picture_that_takes_its_child_along(
    system: System, monkeypatch: pytest.MonkeyPatch, job: str, code: str
) -> None:
    """It is tried twice and skipped with its code; the next one is rendered by the same pool."""
    hostile: list[str] = []

    async def hurt(event: Promoted, ctx: Context) -> Done | None:
        if event.media.media_id in hostile:
            await ctx.decoders.run(job, timeout=1)
        return await render_image(event, ctx)

    monkeypatch.setattr(application, "DecoderPool", partial(DecoderPool, extra_jobs=JOBS))
    handlers: dict[str, Any] = {"render_image": hurt}
    async with working(system, handlers=handlers, images=SIZES):
        media_id, where = await system.request(images.image("plain.jpg"), "image/jpeg")
        hostile.append(media_id)
        await system.send(where, images.image("plain.jpg"))
        skipped = await system.happens(media_id, "skipped")
        assert (skipped["data"]["product"], skipped["data"]["code"]) == ("sizes", code)
        assert (await system.fold(media_id)).state() == "failed"  # the sizes are required
        good = await system.upload(images.image("plain.jpg"), "image/jpeg")
        assert event_name(await system.ended(good)) == "ready"
