import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest

from infra.decoder import DecoderPool
from infra.magic import HEAD_BYTES, identify_head
from infra.settings import Settings
from tests.samples import documents


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    """One sandboxed child."""
    started = DecoderPool(Settings(decoder_processes=1))
    await started.start()
    yield started
    await started.aclose()


def _zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "text")
    return buffer.getvalue()


async def test_accepted_types_are_found(pool: DecoderPool) -> None:
    """A PDF is a PDF and prose is plain text, whatever letters and commas it is made of."""
    assert await identify_head(pool, documents.unique_pdf(1)) == "application/pdf"
    for text in (
        b"Hello, world.\n",
        b"hello world, this is text.\n" * 400,
        "naïve café €\n".encode(),
        ("x" * (HEAD_BYTES - 1) + "€").encode(),
        "\ufeffwith a mark\n".encode(),
        "sixteen bits\n".encode("utf-16"),
        b"a < b and b > c\n",
        b"<not markup at all\n",
    ):
        assert await identify_head(pool, text) == "text/plain", text[:20]


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"", "application/x-empty"),
        (b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00\xb8" + bytes(200), "application/x-dosexec"),
        (Path("/bin/true").read_bytes(), "application/x-pie-executable|application/x-sharedlib"),
        (_zip(), "application/zip"),
        (b"#!/bin/sh\nrm -rf /\n", "text/x-shellscript"),
        (b"#!/opt/own/interpreter\nhello\n", "text/x-script"),
        (b"<!DOCTYPE html><html><body>hi</body></html>", "text/html"),
        (b" \n <ScRiPt >alert(1)</script>", "text/html"),
        (b"\xef\xbb\xbf<a href=x>hi</a>", "text/html"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "image/svg+xml"),
        (b'<?xml version="1.0"?><a/>', "text/xml"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png|application/octet-stream"),
        (b"\x00\x01\x02\x03" * 100, "application/octet-stream"),
    ],
)  # fmt: skip
async def test_other_types_are_reported_as_found(pool: DecoderPool, head: bytes, found: str) -> None:
    """What isn't accepted is named, so that the refusal can say what it was."""
    assert await identify_head(pool, head) in found.split("|")


@pytest.mark.parametrize("before", [b"\n", b"junk" * 20, b"MZ" + bytes(60), b"<html>"])
async def test_a_pdf_begins_with_its_signature(pool: DecoderPool, before: bytes) -> None:
    """A document that is something else as well, before its signature, is no PDF."""
    assert await identify_head(pool, before + documents.pdf()) != "application/pdf"


async def test_only_the_head_is_looked_at(pool: DecoderPool) -> None:
    """The answer for a file is the answer for its first bytes, however many are given."""
    assert await identify_head(pool, b"x" * HEAD_BYTES + bytes(100_000)) == "text/plain"
