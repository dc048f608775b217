"""Pictures are rendered though processes die, and in a bounded memory however large they are."""

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.processes import descendants, usage
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from tests.faults.burst import bursting
from tests.functions.produced import made
from tests.samples import images
from tests.system import poll

MIB = 1024 * 1024
MOST = 600 * MIB
PROMISED: dict[str, Any] = {"images__sizes": "required", "images__description": "optional"}
SIDE = 9_990


@pytest.mark.faults
async def test_killed_in_the_middle(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """The worker is killed while a decoder renders: the decoder dies with it, and the next worker does it again."""
    async with bursting(own_stack, tmp_path, **PROMISED) as burst:
        media_id = await burst.system.upload(images.photo(), "image/jpeg")
        await burst.system.happens(media_id, "promoted")
        run = burst.run.pid
        family = descendants(run)
        begun = sum(usage(pid).cpu for pid in family)
        # Encoding takes a second; a decoder that has computed for a tenth of one is in the middle.
        await poll(lambda: sum(usage(pid).cpu for pid in family) > begun + 0.1)
        assert await burst.system.event(media_id, "done") is None
        os.kill(run, signal.SIGKILL)
        assert event_name(await burst.system.ended(media_id, patience=90)) == "ready"
        assert len(await made(burst.system, media_id)) == 8
        assert not [pid for pid in family if usage(pid).peak]


def _large(made: str, mode: str, **options: Any) -> bytes:
    """A picture of 99.8 megapixels, about 100 MB where it is grey."""
    tile = Image.effect_noise((1000, 1000), 60)
    whole = tile.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert(mode)
    out = io.BytesIO()
    whole.save(out, made, **options)
    return out.getvalue()


@pytest.mark.slow_faults
async def test_a_hundred_megapixels(own_stack: ThreadedStack, tmp_path: Path) -> None:
    """Neither the worker nor a decoder ever has more than 600 MiB, whatever the picture is coded in."""
    kinds: dict[str, tuple[str, bytes]] = {
        "grey BMP": ("image/bmp", _large("BMP", "L")),
        "TIFF": ("image/tiff", _large("TIFF", "RGB", compression="tiff_adobe_deflate")),
        "PNG": ("image/png", _large("PNG", "RGB", compress_level=1)),
        "JPEG": ("image/jpeg", _large("JPEG", "RGB", quality=95)),
        "progressive JPEG": ("image/jpeg", _large("JPEG", "RGB", quality=90, progressive=True)),
    }
    told = PROMISED | {"images__formats": '["jpeg"]', "decoder_processes": 1, "ack_wait_seconds": 15}
    async with bursting(own_stack, tmp_path, **told) as burst:
        for name, (content_type, body) in kinds.items():
            media_id = await burst.system.upload(body, content_type)
            ended = await burst.system.ended(media_id, patience=300)
            assert event_name(ended) == "ready", (name, ended)
            peaks = {pid: usage(pid).peak for pid in [burst.run.pid, *descendants(burst.run.pid)]}
            found = ", ".join(f"{peak // MIB}" for peak in peaks.values())
            sys.stdout.write(f"{name} of {len(body) // MIB} MiB: peaks of worker and children {found} MiB\n")
            assert max(peaks.values()) < MOST, name
