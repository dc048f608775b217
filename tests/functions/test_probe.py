"""`probe`: the decoder gets every byte of the object, and who waits for a large one hears how far it is."""

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import from_json

from events.errors import Reject
from functions.probe import probe
from infra.local.threaded import ThreadedStack
from infra.settings import MIB
from schemas.events import Probed, Scanned
from schemas.probe import TextProbe
from schemas.subjects import progress
from schemas.types import TYPES
from tests.functions.making import probed
from tests.samples import av, documents, images, office
from tests.system import System, connected, context, provisioned

LINES = 40_000
TEXT = b"Let me in, line by line.\n" * LINES


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack) as provided:
        yield provided


async def scanned(system: System, body: bytes, content_type: str = "text/plain") -> Scanned:
    """What the function takes."""
    after = await probed(system, body)
    return Scanned.after(after, verdict=after.verdict, identity=TYPES[content_type])


DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
GOOD = {
    "image/png": images.image("plain.png"),
    "image/jpeg": images.image("turned.jpg"),
    "video/mp4": av.media("plain.mp4"),
    "audio/mpeg": av.media("plain.mp3"),
    "application/pdf": documents.pdf(),
    DOCX: office.office("plain.docx"),
    "application/vnd.oasis.opendocument.text": office.office("plain.odt"),
}
BAD: dict[str, tuple[str, bytes, str]] = {
    "half a video": ("video/mp4", GOOD["video/mp4"][:20_000], "truncated"),
    "half a photo": ("image/jpeg", GOOD["image/jpeg"][:1500], "truncated"),
    "pixels": ("image/png", images.png(60_000, 60_000, pixels=b"0"), "too_many_pixels"),
    "chunks": ("image/png", images.text_bomb(100_000_000), "bomb"),
    "zip": (
        DOCX,
        office.with_parts(GOOD[DOCX], {"z": bytes(50 * MIB)}),
        "bomb",
    ),
    "controls": (
        DOCX,
        office.with_parts(GOOD[DOCX], {"word/activeX/activeX1.bin": b"x"}),
        "active_content",
    ),
}


@pytest.mark.parametrize("content_type", GOOD)
async def test_every_kind_is_probed(system: System, content_type: str) -> None:
    """Images, video, audio, PDFs and office documents each get the probe of their kind."""
    event = await scanned(system, GOOD[content_type], content_type)
    async with connected(system) as services:
        found = await probe(event, context(services))
    kinds = {"image": "image", "video": "video", "audio": "audio"}
    expected = kinds.get(event.identity.kind, "pdf" if content_type == "application/pdf" else "office")
    assert found.probe.type == expected
    assert Probed.model_validate_json(found.model_dump_json()) == found


async def test_hostile_files_and_their_neighbours(system: System) -> None:
    """Each is rejected with its code and a sentence that says what to do, while good files beside it are probed."""
    good = [await scanned(system, body, content_type) for content_type, body in GOOD.items()]
    bad = [await scanned(system, body, content_type) for content_type, body, _ in BAD.values()]
    async with connected(system) as services:
        ended = await asyncio.gather(
            *(probe(event, context(services)) for event in [*bad, *good]), return_exceptions=True
        )
    refused, fine = ended[: len(bad)], ended[len(bad) :]
    assert [getattr(each, "code", each) for each in refused] == [code for _, _, code in BAD.values()]
    assert all(getattr(each, "reason", "").startswith("The ") for each in refused)
    assert [isinstance(each, Probed) for each in fine] == [True] * len(good)


async def test_progress_of_a_large_file(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its bytes come it says how many of how many, on the media's own subject."""
    monkeypatch.setattr("infra.context.PROGRESS_SECONDS", 0)
    event = await scanned(system, TEXT)
    said: list[tuple[str, Any]] = []

    async def signal(subject: str, data: bytes) -> None:
        said.append((subject, from_json(data)))

    async with connected(system) as services:
        listened = replace(services, signal=signal)
        found = await probe(event, context(listened, "probe", event.media.media_id))
    assert found.probe == TextProbe(encoding="utf-8", lines=LINES)
    assert {subject for subject, _ in said} == {progress(event.media.media_id)}
    for _, each in said:
        assert (each["function"], each["total"]) == ("probe", len(TEXT))
        assert 0 < each["done"] < len(TEXT)


async def test_other_bytes_than_scanned(system: System) -> None:
    """What isn't what was scanned is rejected before a decoder sees it."""
    event = await scanned(system, TEXT)
    other = event.object.model_copy(update={"sha256": "0" * 64})
    async with connected(system) as services:
        with pytest.raises(Reject, match="changed"):
            await probe(event.model_copy(update={"object": other}), context(services))


async def test_another_type_than_identified(system: System) -> None:
    """What is of another type than was identified was swapped between `identify` and `scan`."""
    event = await scanned(system, b"<html><script>alert(document.domain)</script></html>")
    async with connected(system) as services:
        with pytest.raises(Reject, match="changed"):
            await probe(event, context(services))


async def test_a_file_system_that_takes_a_part(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that was cut short goes on where it was: no byte is left out of what the decoder sees."""
    event = await scanned(system, TEXT)
    cut: list[int] = []
    write = os.write

    def short(file: int, data: bytes | memoryview) -> int:
        cut.append(len(data))
        return write(file, data[: max(len(data) // 2, 4096)])

    monkeypatch.setattr("infra.decoder.spool.os.write", short)
    async with connected(system) as services:
        found = await probe(event, context(services))
    assert isinstance(found, Probed)
    assert found.probe == TextProbe(encoding="utf-8", lines=LINES)
    assert sum(cut) > len(TEXT)
