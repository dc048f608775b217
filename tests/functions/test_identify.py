"""`identify`: the first bytes say what a file is; the client's word only has to agree."""

from collections.abc import AsyncGenerator

import pytest

from events.errors import Reject
from functions.identify import identify
from infra.decoder import DecodeRejected
from infra.local.threaded import ThreadedStack
from infra.magic import WHOLE_BYTES
from schemas.events import Rejected
from schemas.types import TYPES
from tests.functions.making import uploaded
from tests.samples.clean import samples
from tests.samples.clean.images import encoded, photo
from tests.samples.clean.offices import DOCX
from tests.samples.documents import pdf
from tests.samples.polyglots import polyglot
from tests.system import System, connected, context, poll, provisioned, working

ELF = b"\x7fELF\x02\x01\x01" + bytes(200)
HTML = b"<!DOCTYPE html><script>alert(1)</script>"


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack where nobody works."""
    async with provisioned(stack) as provided:
        yield provided


@pytest.mark.parametrize("declared", ["application/pdf", "Application/PDF", "application/pdf; version=1.7"])
async def test_pdf_by_any_spelling(system: System, declared: str) -> None:
    """The declared type is compared without its parameters and without regard to case; what is found is kept."""
    event = await uploaded(system, pdf(), declared)
    async with connected(system) as services:
        found = await identify(event, context(services))
    assert (found.identity.content_type, found.identity.extension) == ("application/pdf", "pdf")
    assert found.media == event.media


@pytest.mark.parametrize(
    ("body", "declared", "code"),
    [
        (b"", "text/plain", "empty"),
        (pdf(), "text/plain", "type_mismatch"),
        (b"plain enough", "application/pdf", "type_mismatch"),
        (pdf(), "application/pdfx", "type_mismatch"),
        (ELF, "application/pdf", "type_refused"),
        (HTML, "text/plain", "type_refused"),
        (b"<svg onload='alert(1)'/>", "text/plain", "type_refused"),
        (ELF + pdf(), "application/pdf", "type_refused"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "video/mp4", "type_refused"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "video/mp4", "type_refused"),
        (b"plain enough", "application/octet-stream", "type_mismatch"),
        (b"plain enough", "image/jpeg", "type_mismatch"),
        (encoded(photo(), "PNG"), "image/jpeg", "type_mismatch"),
        (polyglot("php-remark.gif"), "image/gif", "polyglot"),
        (polyglot("zip-behind.jpg"), "image/jpeg", "polyglot"),
        (polyglot("html-free.mp4"), "video/mp4", "polyglot"),
        (polyglot("zip-behind.pdf"), "application/pdf", "polyglot"),
        (polyglot("jar-inside.docx"), DOCX, "polyglot"),
        (b"PK\x03\x04" + bytes(60), "application/zip", "type_refused"),
        (bytes(100), "text/plain", "type_refused"),
    ],
)
async def test_refused(system: System, body: bytes, declared: str, code: str) -> None:
    """What isn't accepted, or isn't what was declared, is refused with its code and a sentence."""
    event = await uploaded(system, body, declared)
    async with connected(system) as services:
        with pytest.raises((Reject, DecodeRejected)) as refusal:
            await identify(event, context(services))
    assert refusal.value.code == code
    assert refusal.value.reason.rstrip(")").endswith(".")


@pytest.mark.parametrize(
    ("name", "declared", "extension"),
    [
        ("progressive.jpg", "image/jpg", "jpg"),
        ("still.heic", "image/heif", "heic"),
        ("phone.mov", "video/quicktime", "mov"),
        ("recorded.weba", "video/webm;codecs=opus", "weba"),
        ("android.m4a", "video/mp4", "m4a"),
        ("cover.mp3", "audio/mp3", "mp3"),
        ("types-last.docx", DOCX, "docx"),
        ("table.csv", "text/csv", "txt"),
    ],
)
async def test_extension_of_what_was_found(system: System, name: str, declared: str, extension: str) -> None:
    """What a client honestly calls its file is enough; the extension is that of what the file is."""
    sample = samples()[name]
    event = await uploaded(system, sample.body, declared)
    async with connected(system) as services:
        found = await identify(event, context(services))
    assert found.identity == TYPES[sample.content_type]
    assert found.identity.extension == extension


async def test_a_type_that_is_not_accepted(system: System) -> None:
    """A type that could be checked is refused where settings don't name it, with what was found and what may come."""
    event = await uploaded(system, encoded(photo(), "GIF"), "image/gif")
    async with connected(system, accept_images=("image/png",), accept_video=(), accept_audio=()) as services:
        with pytest.raises(Reject) as refusal:
            await identify(event, context(services))
    assert refusal.value.code == "type_refused"
    assert "image/gif" in refusal.value.reason
    assert "docx, epub, odp, ods, odt, pdf, png, pptx, txt, xlsx" in refusal.value.reason


async def test_nothing_is_accepted(system: System) -> None:
    """Where every kind is switched off the refusal doesn't ask for another type."""
    event = await uploaded(system, pdf(), "application/pdf")
    off = {"accept_images": (), "accept_video": (), "accept_audio": (), "accept_documents": ()}
    async with connected(system, **off) as services:
        with pytest.raises(Reject, match="no files are accepted"):
            await identify(event, context(services))


async def test_polyglots_end_rejected(system: System) -> None:
    """On the whole way a file that is two things is rejected, also one whose end only the probe sees, and deleted."""
    large = pdf(200)
    assert len(large) > WHOLE_BYTES
    bodies = {
        "application/pdf": large + polyglot("zip-behind.pdf"),
        "image/png": polyglot("php-in-pixels.png"),
        "video/mp4": polyglot("zip-behind.mp4"),
    }
    async with working(system):
        for declared, body in bodies.items():
            media_id = await system.upload(body, declared)
            rejected = Rejected.model_validate((await system.ended(media_id))["data"])
            assert (rejected.code, rejected.function) == ("polyglot", "probe" if body[:4] == b"%PDF" else "identify")
            await poll(lambda media_id=media_id: _nothing_left(system, media_id))


async def _nothing_left(system: System, media_id: str) -> bool:
    return set(await system.keys(media_id)) == {f"records/{media_id}.json"}


async def test_too_large(system: System) -> None:
    """The limit holds for the object that is there, whatever was declared."""
    event = await uploaded(system, b"x" * 101)
    async with connected(system, max_upload_bytes=100) as services:
        with pytest.raises(Reject) as refusal:
            await identify(event, context(services))
    assert refusal.value.code == "too_large"
