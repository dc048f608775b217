"""S3's two listings as pages: what MinIO's XML says, nothing kept between two pages but the markers."""

from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from infra.errors import DependencyDown
from infra.s3 import S3, Request, escape

PAGE_KEYS: Final = 1000

_NS: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Entry(NamedTuple):
    """One line of a listing.

    Attributes:
        key: The object's key, not escaped.
        version_id: The version, `null` where the prefix isn't versioned; none in a listing without versions.
        size: Length in bytes; 0 for a delete marker.
        last_modified: When MinIO stored it, to the millisecond, UTC.
        is_latest: Whether a reader who names no version gets this one.
        is_delete_marker: Whether it stands for a deletion and has no bytes.
    """

    key: str
    version_id: str | None
    size: int
    last_modified: datetime
    is_latest: bool = True
    is_delete_marker: bool = False


class VersionsPage(NamedTuple):
    """Up to 1,000 versions and where to go on; no `next_key`: it was the last page."""

    entries: list[Entry]
    next_key: str
    next_version: str


async def objects_page(s3: S3, prefix: str, start_after: str, token: str) -> tuple[list[Entry], str]:
    """Read one page of the latest objects under a prefix, in key order.

    Returns:
        The entries, and the token of the next page (empty: this was the last).

    Raises:
        DependencyDown: MinIO is away, or its answer isn't a whole listing.
    """
    query = f"encoding-type=url&list-type=2&max-keys={PAGE_KEYS}&prefix={_value(prefix)}"
    query += f"&continuation-token={_value(token)}" if token else f"&start-after={_value(start_after)}"
    page = await _page(s3, query)
    entries = [_entry(node) for node in page.iterfind(f"{_NS}Contents")]
    return entries, page.findtext(f"{_NS}NextContinuationToken") or ""


async def versions_page(s3: S3, prefix: str, key_marker: str, version_marker: str) -> VersionsPage:
    """Read one page of all versions and delete markers under a prefix, in key order, the newest of a key first.

    Args:
        s3: The bucket.
        prefix: What every key starts with.
        key_marker: Go on after this key (with `version_marker`: after that version of it); empty: from the start.
        version_marker: See `key_marker`; empty: none.

    Raises:
        DependencyDown: MinIO is away, or its answer isn't a whole listing.
    """
    query = f"encoding-type=url&max-keys={PAGE_KEYS}&prefix={_value(prefix)}&versions="
    if key_marker:
        query += f"&key-marker={_value(key_marker)}"
        if version_marker:
            query += f"&version-id-marker={_value(version_marker)}"
    page = await _page(s3, query)
    entries = [_entry(node) for node in page if node.tag in {f"{_NS}Version", f"{_NS}DeleteMarker"}]
    if page.findtext(f"{_NS}IsTruncated") != "true":
        return VersionsPage(entries, "", "")
    next_key = unquote_plus(page.findtext(f"{_NS}NextKeyMarker") or "")
    return VersionsPage(entries, next_key, page.findtext(f"{_NS}NextVersionIdMarker") or "")


async def _page(s3: S3, query: str) -> ET.Element:
    _, body = await s3.fetch(Request("GET", query=query, patience=s3.patience))
    try:
        return ET.fromstring(body)  # noqa: S314 - our own MinIO's answer
    except ET.ParseError as error:
        raise DependencyDown("minio", f"a listing that isn't XML: {error}") from error


def _entry(node: ET.Element) -> Entry:
    # findtext is asked for each field by name: pages differ in what they leave out.
    return Entry(
        key=unquote_plus(node.findtext(f"{_NS}Key") or ""),
        version_id=node.findtext(f"{_NS}VersionId"),
        size=int(node.findtext(f"{_NS}Size") or 0),
        last_modified=datetime.fromisoformat(node.findtext(f"{_NS}LastModified") or ""),
        is_latest=node.findtext(f"{_NS}IsLatest") != "false",
        is_delete_marker=node.tag == f"{_NS}DeleteMarker",
    )


def _value(text: str) -> str:
    return escape(text).replace("/", "%2F")
