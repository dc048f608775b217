"""What nobody may send, and what isn't known well enough to be let in: found, named, and in no allow-list."""

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio

from infra.decoder import DecoderPool
from infra.settings import Settings
from schemas.types import TYPES
from tests.infra.identifying import identified, identified_whole
from tests.samples.clean import samples
from tests.samples.clean.images import encoded, photo
from tests.samples.clean.offices import ODF, OOXML, XLSX, repacked, slides, unzipped, word, zipped

pytestmark = pytest.mark.asyncio(loop_scope="module")

PE = b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0\x64\x86\x02\0" + bytes(400)
MACH_O = b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0\x02\0\0\0" + bytes(100)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\x03\0\xfe\xff\x09\0" + bytes(1000)
_OOXML = OOXML.encode()
_MAIN = b"wordprocessingml.document.main+xml"
_BOOT_RECORD = bytes(510) + b"\x55\xaa"


def _with_types(document: bytes, old: bytes, new: bytes) -> bytes:
    types = unzipped(document)["[Content_Types].xml"]
    assert old in types
    return repacked(document, extra={"[Content_Types].xml": types.replace(old, new)})


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(__file__, "a.py")
    return buffer.getvalue()


def _many(form: str, *options: str) -> bytes:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.2", *options, "-f", form, "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _programs() -> dict[str, bytes]:
    return {
        "elf": Path("/bin/true").read_bytes(),
        "python": Path(sys.executable).resolve().read_bytes(),
        "pe": PE,
        "mach-o": MACH_O,
        "java class": b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(60),
        "wasm": b"\0asm\x01\0\0\0" + bytes(60),
        "sh": b"#!/bin/sh\nrm -rf /\n",
        "py": b'#!/usr/bin/env python3\nimport os\nos.system("id")\n',
        "php": b"<?php system('id');",
        "bat": b"@echo off\r\nformat c:\r\n",
        "desktop": b"[Desktop Entry]\nExec=id\n",
        "url": b"[InternetShortcut]\nURL=file:///etc/passwd\n",
        "lnk": b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(60),
        "boot record": _BOOT_RECORD,
    }


def _pages() -> dict[str, bytes]:
    return {
        "html": b"<!DOCTYPE html><html><body>hi</body></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "svg with a header": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "xhtml": b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>',
        "mhtml": b"MIME-Version: 1.0\nContent-Type: text/html\n\n<b>hi\n",
        "postscript": b"%!PS-Adobe-3.0\n(x) show\n",
        "rtf": b"{\\rtf1 hello}",
    }


def _playlists() -> dict[str, bytes]:
    return {
        "m3u8": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "m3u8 with a mark": b"\xef\xbb\xbf#EXTM3U\nhttp://127.0.0.1/\n",
        "m3u8 after a line": b"\n#EXTM3U\nhttp://127.0.0.1/\n",
        "pls": b"[playlist]\nFile1=file:///etc/passwd\n",
        "asx": b'<asx version="3.0"><entry><ref href="file:///etc/passwd"/></entry></asx>',
        "asx of old": b"[Reference]\nRef1=http://127.0.0.1/\n",
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "xspf": b'<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/"/>',
    }


def _archives() -> dict[str, bytes]:
    jar = zipped({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n", "A.class": "A"})
    return {
        "zip": zipped({"a.txt": "text"}),
        "empty zip": zipped({}),
        "zip of a document": zipped({"letter.docx": word(1)}, zipfile.ZIP_STORED),
        "jar": jar,
        "apk": zipped({"AndroidManifest.xml": "x", "classes.dex": "x"}),
        "rar": b"Rar!\x1a\x07\x01\0" + bytes(60),
        "7z": b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(60),
        "tar": _tar(),
        "gz": gzip.compress(b"text" * 100),
        "bz2": b"BZh91AY&SY" + bytes(60),
        "xz": b"\xfd7zXZ\0\0\x04" + bytes(60),
        "zst": b"\x28\xb5\x2f\xfd" + bytes(60),
        "cab": b"MSCF" + bytes(60),
        "iso": bytes(32769) + b"CD001\x01" + bytes(2048),
    }


@cache
def _documents() -> dict[str, bytes]:
    letter, end = word(1), b"</Types>"
    odt = unzipped(samples()["letter.odt"].body)
    macros = b"application/vnd.ms-word.document.macroEnabled.main+xml"
    vba = b'<Default Extension="vba" ContentType="application/vnd.ms-office.vbaProject"/>'
    workbook = f'<Override PartName="/xl/workbook.xml" ContentType="{XLSX}.main+xml"/>'.encode()
    return {
        "docm": _with_types(letter, _OOXML + _MAIN, macros),
        "docm as docx": repacked(letter, extra={"word/vbaProject.bin": OLE}),
        "docx that says vba": _with_types(letter, end, vba + end),
        "dotx": _with_types(letter, _MAIN, b"wordprocessingml.template.main+xml"),
        "ppsx": _with_types(slides(1), b"presentation.main+xml", b"slideshow.main+xml"),
        "another package": _with_types(letter, _MAIN, b"something.else+xml"),
        "two main parts": _with_types(letter, end, workbook + end),
        "a bomb of entities": _with_types(letter, b"<Types", b'<!DOCTYPE a [<!ENTITY b "c">]><Types'),
        "ott": zipped({**odt, "mimetype": ODF.encode() + b"text-template"}),
        "odt with macros": zipped({**odt, "Basic/script-lc.xml": b"<x/>"}),
        "doc": OLE,
    }


def _others() -> dict[str, bytes]:
    return {
        "icon": encoded(photo(), "ICO"),
        "jpeg 2000": encoded(photo(), "JPEG2000"),
        "tga": encoded(photo(), "TGA"),
        "theora": b"OggS\0\x02" + bytes(20) + b"\x01\x2a\x80theora" + bytes(60),
        "mka": _many("matroska"),
        "aiff": _many("aiff"),
        "caf": _many("caf"),
        "flv": _many("flv", "-c:a", "libmp3lame", "-ar", "44100"),
        "mpeg-ts": _many("mpegts"),
        "mp2": _many("mp2"),
        "amr": b"#!AMR\n" + bytes(60),
        "midi": b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk" + bytes(60),
        "canon raw": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(60),
        "a brand that nobody knows": b"\0\0\0\x14ftypabcd\0\0\0\0abcd" + bytes(60),
        "an image of an unknown codec": b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf" + bytes(60),
        "ebml of something else": b"\x1a\x45\xdf\xa3\x88\x42\x82\x85other" + bytes(60),
        "riff of something else": b"RIFF\x40\0\0\0ACON" + bytes(60),
        "sqlite": b"SQLite format 3\0" + bytes(100),
        "zeros": bytes(5000),
        "utf-16 without a mark": "no mark".encode("utf-16-le"),
        "a signature alone": b"PK\x03\x04",
        "another": b"\0\0\0\x18ftyp",
        "a third": b"\x1a\x45\xdf\xa3",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    """One sandboxed child for all of them."""
    started = DecoderPool(Settings(decoder_processes=1))
    await started.start()
    yield started
    await started.aclose()


@pytest.mark.parametrize("make", [_programs, _pages, _playlists, _archives, _documents, _others])
async def test_refused(pool: DecoderPool, make: Callable[[], dict[str, bytes]]) -> None:
    """None of them is any of the types that can be accepted, by its beginning or in whole."""
    found = {name: {await identified(pool, body), await identified_whole(pool, body)} for name, body in make().items()}
    assert {name: types for name, types in found.items() if types & TYPES.keys() or "decode_crash" in types} == {}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("docm", "application/vnd.ms-word.document.macroenabled.12"),
        ("docm as docx", "application/vnd.ms-word.document.macroenabled.12"),
        ("docx that says vba", "application/vnd.ms-word.document.macroenabled.12"),
        ("ott", "application/vnd.oasis.opendocument.text-template"),
        ("odt with macros", "application/vnd.oasis.opendocument.text-with-macros"),
    ],
)
async def test_a_document_that_carries_a_program_is_named(pool: DecoderPool, name: str, found: str) -> None:
    """The refusal can say that it is the macros."""
    assert await identified(pool, _documents()[name]) == found


async def test_playlists_are_named(pool: DecoderPool) -> None:
    """The refusal of a playlist called .mp4 says that it is one."""
    found = {name: await identified(pool, body) for name, body in _playlists().items()}
    assert found["m3u8"] == found["m3u8 with a mark"] == found["m3u8 after a line"] == "application/vnd.apple.mpegurl"
    assert (found["pls"], found["concat"]) == ("audio/x-scpls", "application/x-ffconcat")
