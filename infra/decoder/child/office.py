"""Unpack an office document or EPUB whole, within a budget, and read what it is from its own manifest.

Office Open XML: ECMA-376 part 2. OpenDocument: OASIS ODF 1.3 part 2. EPUB: https://www.w3.org/TR/epub-33/#sec-ocf.
"""

import posixpath
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from . import markup
from .archive import Archive
from .rejected import Rejected

Found = dict[str, Any]

_OOXML = "application/vnd.openxmlformats-officedocument."
_MAIN_PARTS = {
    "docx": _OOXML + "wordprocessingml.document.main+xml",
    "xlsx": _OOXML + "spreadsheetml.sheet.main+xml",
    "pptx": _OOXML + "presentationml.presentation.main+xml",
}
_ODF = {
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
}
_EPUB = "application/epub+zip"
# What a program may load unasked from where a relationship points. Hyperlinks, linked pictures and links to other
# workbooks wait for the reader; a template on the writer's own disk is in every company's letters.
_FETCHED = {"attachedTemplate", "oleObject", "frame", "subDocument", "package"}
_OWN_DISK = re.compile(r"(file:///?)?[A-Za-z](:|%3A)[\\/]", re.IGNORECASE)
_MACROS = re.compile(r"(^|/)(vbaProject[^/]*\.bin|vbaData\.xml|activeX/.*|macrosheets/.*)$", re.IGNORECASE)
_ODF_MACROS = re.compile(r"^(Basic/(?!.*script-l[bc]\.xml$).*[^/]|Scripts/.*[^/])$")
_EMBEDDED = re.compile(r"(^|/)embeddings/[^/]+$|^Object[^/]*/content\.xml$")
_FONTS_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_SMALL_BYTES = 1024 * 1024
_ZIP = b"PK\3\4"
# Workbooks in documents and the like, held in memory while they are looked through.
_LARGEST_INSIDE = 64 * 1024 * 1024
_DEEPEST = 5


def probe(file: int, args: dict[str, Any], _inline: bytes) -> dict[str, Any]:
    """Check every part's length and checksum, and that the document's manifest and main part are there.

    Args:
        file: Descriptor of the document.
        args: `format`; `max_entries`, `max_bytes` and `max_ratio` of the zip.

    Returns:
        What `schemas.probe.OfficeProbe` has, but its type.

    Raises:
        Rejected: `truncated`, `corrupt`, `encrypted`, `bomb`, `active_content`, `type_mismatch`.
    """
    budget = {name: args[name] for name in ("max_entries", "max_bytes", "max_ratio")}
    archive = Archive(file, **budget)
    _look_through(archive, budget)
    name = args["format"]
    found = _ooxml(archive, name) if name in _MAIN_PARTS else _epub(archive) if name == "epub" else _odf(archive, name)
    embedded = sum(_EMBEDDED.search(entry) is not None for entry in archive.entries)
    return {
        "format": name,
        "entries": len(archive.entries),
        "unpacked_bytes": archive.unpacked,
        "embedded_objects": embedded,
        **found,
    }


def _look_through(archive: Archive, budget: dict[str, Any], level: int = 1) -> None:
    """Unpack everything, and the archives in it: what hides in one of them from the scanner hides as well."""
    for name in archive.entries:
        inner = bytearray()
        for chunk in archive.chunks(name):
            if len(inner) < len(_ZIP) or inner.startswith(_ZIP):
                inner += chunk
            if len(inner) > _LARGEST_INSIDE and inner.startswith(_ZIP):
                raise Rejected("unscannable", "an archive inside is too large to be looked into")
        if inner.startswith(_ZIP):
            if level == _DEEPEST:
                raise Rejected("unscannable", "archives inside are nested too deeply")
            _look_through(Archive(bytes(inner), **budget), budget, level + 1)


def _ooxml(archive: Archive, name: str) -> Found:
    types: list[tuple[str, str]] = []
    _read(
        archive,
        "[Content_Types].xml",
        lambda _, given: types.append((given.get("PartName", ""), given.get("ContentType", ""))),
    )
    if any("macroEnabled" in each or "vbaProject" in each for _, each in types) or _any(archive, _MACROS):
        raise Rejected("active_content", "it has macros or controls")
    main = next((part for part, each in types if each == _MAIN_PARTS[name]), None)
    if main is None:
        raise Rejected("type_mismatch", f"its manifest names no main part of a {name}")
    for entry in archive.entries:
        if entry.endswith(".rels"):
            _read(archive, entry, _require_inside)
    elements = {"xlsx": "sheet", "pptx": "sldId"}
    counted = _count(archive, main.lstrip("/"), elements.get(name))
    if name == "docx":
        return {"pages": _number(archive, "docProps/app.xml", "Pages")}
    return {"sheets" if name == "xlsx" else "slides": counted}


def _require_inside(element: str, given: dict[str, str]) -> None:
    kind = given.get("Type", "").rpartition("/")[2]
    outside = element == "Relationship" and given.get("TargetMode") == "External"
    if outside and kind in _FETCHED and not _OWN_DISK.match(given.get("Target", "")):
        raise Rejected("active_content", "it fetches a part of itself from elsewhere")


def _odf(archive: Archive, name: str) -> Found:
    if _whole(archive, "mimetype") != _ODF[name].encode():
        raise Rejected("type_mismatch", f"its manifest doesn't say that it is an {name}")
    encrypted: list[str] = []
    _read(
        archive, "META-INF/manifest.xml", lambda element, _: element == "encryption-data" and encrypted.append(element)
    )
    if encrypted:
        raise Rejected("encrypted", "its parts are encrypted")
    if _any(archive, _ODF_MACROS):
        raise Rejected("active_content", "it has macros")
    counted = _count(archive, "content.xml", {"ods": "table", "odp": "page"}.get(name))
    if name == "odt":
        return {"pages": _odf_pages(archive)}
    return {"sheets" if name == "ods" else "slides": counted}


def _odf_pages(archive: Archive) -> int | None:
    pages: list[str] = []

    def start(element: str, given: dict[str, str]) -> None:
        if element == "document-statistic":
            pages.append(given.get("page-count", ""))

    if "meta.xml" in archive.entries:
        _read(archive, "meta.xml", start)
    return _small_number("".join(pages[:1]))


def _epub(archive: Archive) -> Found:
    if _whole(archive, "mimetype").strip() != _EPUB.encode():
        raise Rejected("type_mismatch", "its manifest doesn't say that it is an EPUB")
    if "META-INF/encryption.xml" in archive.entries:
        _read(archive, "META-INF/encryption.xml", _require_fonts_alone)
    packages: list[str] = []
    _read(
        archive,
        "META-INF/container.xml",
        lambda element, given: element == "rootfile" and packages.append(given.get("full-path", "")),
    )
    if not packages:
        raise Rejected("corrupt", "its container names no package")
    folder = posixpath.dirname(packages[0])
    items: dict[str, str] = {}
    spine: list[str] = []

    def start(element: str, given: dict[str, str]) -> None:
        if element == "item":
            if "script" in given.get("media-type", "") or "scripted" in given.get("properties", "").split():
                raise Rejected("active_content", "it has scripts")
            items[given.get("id", "")] = _entry(folder, given.get("href", ""))
        elif element == "itemref":
            spine.append(given.get("idref", ""))

    _read(archive, packages[0], start)
    if not any(items.get(each) in archive.entries for each in spine):
        raise Rejected("corrupt", "nothing that it should be read in is there")
    return {"chapters": len(spine)}


def _entry(folder: str, reference: str) -> str:
    """The file in the zip that a reference names, relative to its package, as any URL is."""
    return posixpath.normpath(posixpath.join(folder, unquote(reference)))


def _require_fonts_alone(element: str, given: dict[str, str]) -> None:
    if element == "EncryptionMethod" and given.get("Algorithm") not in _FONTS_ONLY:
        raise Rejected("encrypted", "its parts are encrypted")


def _read(archive: Archive, name: str, start: Callable[[str, dict[str, str]], Any], **more: Any) -> None:
    if name not in archive.entries:
        raise Rejected("corrupt", "a part that its manifest needs is missing")
    markup.read(archive.chunks(name), start, **more)


def _count(archive: Archive, name: str, element: str | None) -> int:
    """How often an element is in a part, which is well-formed to its end."""
    counted = 0

    def start(found: str, _: dict[str, str]) -> None:
        nonlocal counted
        counted += found == element

    _read(archive, name, start)
    return counted


def _number(archive: Archive, name: str, element: str) -> int | None:
    """The number in an element of a part that may be missing."""
    inside, text = [""], [""]

    def start(found: str, _: dict[str, str]) -> None:
        inside[0] = found

    def said(words: str) -> None:
        if inside[0] == element and len(text[0]) < 32:  # noqa: PLR2004 -- a number is shorter
            text[0] += words.strip()

    if name in archive.entries:
        _read(archive, name, start, text=said)
    return _small_number(text[0])


def _small_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,7}", text) else None


def _whole(archive: Archive, name: str) -> bytes:
    if name not in archive.entries or archive.entries[name].size > _SMALL_BYTES:
        raise Rejected("corrupt", "a part that its manifest needs is missing")
    return b"".join(archive.chunks(name))


def _any(archive: Archive, pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(name) for name in archive.entries)
