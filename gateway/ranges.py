"""Which bytes of a file a request wants, and whether it has them already (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_RANGES: Final = re.compile(r"bytes=(?P<specs>[0-9,\s-]{1,1024})", re.IGNORECASE)
_SPEC: Final = re.compile(r"(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})")
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_STRONG: Final = re.compile(r'(?<!W/)"[^"]*"')
_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
MOST_RANGES: Final = 16
"""Of a request with more nothing is computed."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start`, `length` of them."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of a Content-Range header."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class Unsatisfiable(Exception):
    """The file has none of the bytes asked for."""


def span(header: str | None, size: int) -> Span | None:
    """The one span that is asked for; None: the whole file.

    Several ranges that leave no gap are one. Of others the whole file is sent, as of what is no range at all; a server
    may do so, and no player asks for such.

    Args:
        header: The request's Range.
        size: The file's, in bytes.

    Raises:
        Unsatisfiable: The file has none of these bytes.
    """
    found = _RANGES.fullmatch(header.strip()) if header else None
    specs = [each.strip() for each in found["specs"].split(",") if each.strip()] if found else []
    if not specs or len(specs) > MOST_RANGES:
        return None
    wanted: list[tuple[int, int]] = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or match["first"] == match["last"] == "":
            return None
        if match["first"] and match["last"] and int(match["last"]) < int(match["first"]):
            return None
        wanted.append(_bounds(match["first"], match["last"], size))
    satisfiable = sorted((first, last) for first, last in wanted if first <= last)
    if not satisfiable:
        raise Unsatisfiable
    first, end = satisfiable[0]
    for begins, ends in satisfiable[1:]:
        if begins > end + 1:
            return None
        end = max(end, ends)
    return Span(first, end - first + 1)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """First and last byte that there are; the last before the first: none."""
    if not first:
        return max(size - int(last), 0), size - 1 if int(last) else -1
    return int(first), min(int(last), size - 1) if last else size - 1


def matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match names this ETag (with its quotes), weakly compared as it says."""
    return header is not None and (header.strip() == "*" or etag in _TAG.findall(header))


def known(headers: Mapping[str, str], etag: str, modified: datetime) -> bool:
    """Whether the client has it, by If-None-Match, or without that by If-Modified-Since."""
    if (tags := headers.get("if-none-match")) is not None:
        return matches(tags, etag)
    since = _date(headers.get("if-modified-since"))
    return since is not None and modified.replace(microsecond=0) <= since


def another(headers: Mapping[str, str], etag: str, modified: datetime) -> bool:
    """Whether the client wants none but another one, by If-Match, or without that by If-Unmodified-Since."""
    if (tags := headers.get("if-match")) is not None:
        return tags.strip() != "*" and etag not in _STRONG.findall(tags)
    since = _date(headers.get("if-unmodified-since"))
    return since is not None and modified.replace(microsecond=0) > since


def _date(header: str | None) -> datetime | None:
    """A date as HTTP writes it; None: it is none, and means nothing."""
    try:
        return datetime.strptime((header or "").strip(), _DATE).replace(tzinfo=UTC)
    except ValueError:
        return None


def still(header: str | None, etag: str, modified: str) -> bool:
    """Whether an If-Range holds, so that a part may be sent: the same strong ETag, or exactly the same date."""
    return header is None or header.strip() in (etag, modified)
