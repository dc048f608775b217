"""What S3 says of an object, and is told of one, in HTTP headers."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from multidict import CIMultiDictProxy

_META: Final = "x-amz-meta-"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What MinIO knows of an object without reading it.

    Attributes:
        size: Length in bytes.
        etag: ETag without its quotes.
        content_type: As stored.
        metadata: User metadata, names in lower case without `x-amz-meta-`.
        version_id: The version, none where the prefix isn't versioned.
        last_modified: When it was stored, to the second, UTC.
        sha256: MinIO's own checksum in hexadecimal, if one was stored and asked for.
    """

    size: int
    etag: str
    content_type: str
    metadata: Mapping[str, str]
    version_id: str | None
    last_modified: datetime
    sha256: str | None


def metadata_headers(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """User metadata as headers.

    Raises:
        ValueError: A name or value that HTTP can't carry as it is.
    """
    headers: dict[str, str] = {}
    for name, value in (metadata or {}).items():
        if not (name.isascii() and value.isascii() and value.isprintable()):
            raise ValueError(f"metadata {name!r}: printable ASCII only, escape anything else")
        headers[_META + name] = value
    return headers


def read_info(answer: CIMultiDictProxy[str]) -> ObjectInfo:
    """What the headers of a HEAD or GET say of the object."""
    names = ((name.lower(), value) for name, value in answer.items())
    return ObjectInfo(
        size=int(answer.get("Content-Length", 0)),
        etag=read_etag(answer),
        content_type=answer.get("Content-Type", ""),
        metadata={name.removeprefix(_META): value for name, value in names if name.startswith(_META)},
        version_id=answer.get("x-amz-version-id"),
        last_modified=parsedate_to_datetime(answer["Last-Modified"]),
        sha256=read_sha256(answer),
    )


def read_etag(answer: CIMultiDictProxy[str]) -> str:
    """The ETag without its quotes."""
    return answer.get("ETag", "").strip('"')


def read_sha256(answer: CIMultiDictProxy[str]) -> str | None:
    """The checksum in hexadecimal; S3 sends it in base64."""
    encoded = answer.get("x-amz-checksum-sha256")
    return base64.b64decode(encoded).hex() if encoded else None
