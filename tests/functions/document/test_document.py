"""Documents from their upload to `ready`: the first page, and the first words."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from functions.document import read_excerpt, render_page
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from schemas.events import Done
from schemas.profiles import DocumentProfile
from tests.functions.produced import files, made, outcomes, promoted
from tests.samples import documents, office, pages
from tests.system import System, connected, context, poll, provisioned, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENTS = DocumentProfile(page="required", excerpt="optional", page_longest=400, excerpt_characters=20)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(stack: ThreadedStack) -> AsyncIterator[System]:
    """A provisioned stack."""
    async with provisioned(stack, documents=DOCUMENTS) as provided:
        yield provided


async def ready(
    system: System, body: bytes, content_type: str = "application/pdf", *, profile: DocumentProfile = DOCUMENTS
) -> str:
    """Upload a file and wait until it is ready; the media's id."""
    async with working(system, documents=profile):
        media_id = await system.upload(body, content_type)
        terminal = await system.ended(media_id)
    assert event_name(terminal) == "ready", terminal
    return media_id


async def test_from_upload_to_ready(system: System) -> None:
    """The first page lies in both codings where its names say; pages are counted, the first words are said."""
    media_id = await ready(system, documents.pdf(3))
    ended = await outcomes(system, media_id)
    assert {name: event["data"]["required"] for name, event in ended.items()} == {"page": True, "excerpt": False}
    page = await files(system, ended["page"])
    assert set(page) == {"page.webp", "page.jpg"}
    for body in page.values():
        with Image.open(io.BytesIO(body)) as image:
            assert image.size == (283, 400)
            assert min(image.convert("L").tobytes()) < 100
    assert {(each["width"], each["height"]) for each in ended["page"]["data"]["renditions"]} == {(283, 400)}
    assert ended["page"]["data"]["description"] == {"type": "page", "pages": 3}
    assert ended["excerpt"]["data"]["description"] == {"type": "text", "excerpt": "Page 1 Page 2 Page 3"}
    assert (await promoted(system, media_id)).probe.model_dump()["pages"] == 3


async def test_twice_is_once(system: System) -> None:
    """Made again, the files and what is said are the same."""
    media_id = await ready(system, documents.restricted_pdf())
    before, keys = await made(system, media_id), await system.keys(media_id)
    event = await promoted(system, media_id)
    said = {name: ended["data"] for name, ended in (await outcomes(system, media_id)).items()}
    async with connected(system, documents=DOCUMENTS) as services:
        for make in (render_page, read_excerpt):
            done = await make(event, context(services))
            assert isinstance(done, Done)
            again = done.model_dump(mode="json", exclude_none=True)
            assert {**again, "media": {}} == {**said[done.product], "media": {}}
    assert await made(system, media_id) == before
    assert await system.keys(media_id) == keys


async def test_texts_and_office_documents(system: System) -> None:
    """A text has first words and no page; an office document has neither, and is ready all the same."""
    media_id = await ready(system, "Füße,\n\n  sagte sie, und ging fort.\n".encode(), "text/plain")
    ended = await outcomes(system, media_id)
    assert set(ended) == {"excerpt"}
    assert ended["excerpt"]["data"]["description"]["excerpt"] == "Füße, sagte sie, und"
    docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    media_id = await ready(system, office.office("plain.docx"), docx)
    assert await outcomes(system, media_id) == {}


async def test_only_what_is_promised(system: System) -> None:
    """The profile says which products, and in what they are coded."""
    profile = DocumentProfile(page_formats=("jpeg",), page_longest=64)
    media_id = await ready(system, documents.pdf(), profile=profile)
    assert set(await made(system, media_id)) == {"page.jpg"}
    nothing = (await promoted(system, media_id)).model_copy(update={"products": ()})
    async with connected(system, documents=profile) as services:
        assert await render_page(nothing, context(services)) is None
        assert await read_excerpt(nothing, context(services)) is None


async def test_a_document_without_words(system: System) -> None:
    """A scanned document is done, with no words, and with its page."""
    media_id = await ready(system, pages.page(pages.corner()))
    ended = await outcomes(system, media_id)
    assert ended["excerpt"]["data"]["description"] == {"type": "text", "excerpt": ""}
    assert set(await made(system, media_id)) == {"page.webp", "page.jpg"}


async def test_a_decoder_that_is_killed(system: System) -> None:
    """Another one does the job, and nobody notices."""
    event = await promoted(system, await ready(system, documents.pdf()))
    async with connected(system, documents=DOCUMENTS, decoder_processes=1) as services:
        await poll(lambda: services.decoders.idle)
        (pid,) = services.decoders.pids
        os.kill(pid, signal.SIGSTOP)
        making = asyncio.create_task(render_page(event, context(services)))
        await poll(lambda: not services.decoders.idle)
        os.kill(pid, signal.SIGKILL)
        done = await making
        assert isinstance(done, Done)
        assert {each.name for each in done.renditions} == {"page.webp", "page.jpg"}
        assert pid not in services.decoders.pids
