"""`identify`: the first bytes say what a file is; the client's word only has to agree."""

from collections.abc import AsyncGenerator

import pytest

from events.errors import Reject
from functions.identify import identify
from infra.local.threaded import ThreadedStack
from tests.functions.making import uploaded
from tests.samples.documents import pdf
from tests.system import System, connected, context, provisioned

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
        (b"GIF89a" + bytes(20), "image/gif", "type_refused"),
        (b"PK\x03\x04" + bytes(60), "application/zip", "type_refused"),
        (bytes(100), "text/plain", "type_refused"),
    ],
)
async def test_refused(system: System, body: bytes, declared: str, code: str) -> None:
    """What isn't accepted, or isn't what was declared, is refused with its code and a sentence."""
    event = await uploaded(system, body, declared)
    async with connected(system) as services:
        with pytest.raises(Reject) as refusal:
            await identify(event, context(services))
    assert refusal.value.code == code
    assert refusal.value.reason.endswith(".")


async def test_too_large(system: System) -> None:
    """The limit holds for the object that is there, whatever was declared."""
    event = await uploaded(system, b"x" * 101)
    async with connected(system, max_upload_bytes=100) as services:
        with pytest.raises(Reject) as refusal:
            await identify(event, context(services))
    assert refusal.value.code == "too_large"
