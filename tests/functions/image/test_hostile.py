"""Pictures that hurt whoever renders them, and processes that die while they do."""

import os
import signal
from pathlib import Path

import pytest

from functions.image.render import render_image
from infra.decoder import DecodeRejected, RenderedSize
from infra.settings import MIB, Settings
from schemas.document import event_name
from schemas.events import Promoted
from schemas.profiles import ImageProfile, Variant
from tests.functions.image.test_render import SIZES
from tests.samples import images
from tests.system import System, working

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSTILE = Path(__file__).parents[2] / "infra" / "decoder" / "hostile.py"


@pytest.mark.parametrize(("job", "code"), [("hang", "decode_timeout"), ("segfault", "decode_crash")])
async def test_a_picture_that_takes_its_child_along(
    system: System, monkeypatch: pytest.MonkeyPatch, job: str, code: str
) -> None:
    """It is skipped with its code, twice tried; the next picture is rendered by the same pool."""
    hostile: list[str] = []

    async def hurting(event: Promoted, ctx: object) -> object:
        pool = ctx.decoders  # type: ignore[attr-defined]
        if event.media.media_id in hostile:
            await pool.run(job, timeout=1)
        return await render_image(event, ctx)  # type: ignore[arg-type]

    monkeypatch.setattr("infra.decoder.pool.sandbox.command", _with_hostile_jobs)
    async with working(system, handlers={"render_image": hurting}, images=SIZES):
        media_id, where = await system.request(images.image("plain.jpg"), "image/jpeg")
        hostile.append(media_id)
        await system.send(where, images.image("plain.jpg"))
        skipped = await system.happens(media_id, "skipped")
        assert (skipped["data"]["product"], skipped["data"]["code"]) == ("sizes", code)
        assert (await system.fold(media_id)).state() == "failed"  # the sizes are required
        good = await system.upload(images.image("plain.jpg"), "image/jpeg")
        assert event_name(await system.ended(good)) == "ready"
