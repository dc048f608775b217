"""Signed permission to upload one object, or to download one, handed to clients who talk to MinIO themselves.

minio-py's own helper signs the host alone; here the type, the length and `If-None-Match: *` are signed as well, so
that MinIO refuses any other body than the one that was announced, and any second one. AWS Signature Version 4, query
parameters: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html; forms:
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

import base64
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from urllib.parse import quote

from yarl import URL

from infra.s3 import escape
from infra.settings import Settings
from infra.sigv4 import ALGORITHM, STAMP, UNSIGNED, Signer

LONGEST_SECONDS: Final = 7 * 86400
# Bytes of UTF-8 that a file's name may have on Linux, macOS and Windows alike; characters of what is kept of its end.
LONGEST_NAME: Final = 255
LONGEST_EXTENSION: Final = 16
# Control, format and surrogate characters, line and paragraph separators: https://www.unicode.org/reports/tr44/#General_Category_Values.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# The last two of each plane are no characters, in any version of Unicode, as 32 others are none.
_LAST: Final = 0xFFFE
# Two of format that Persian and Indic words, and families of emoji, are written with.
_JOINERS: Final = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class PresignedPut:
    """A URL to PUT to, the headers the client must send exactly so, and when it stops working."""

    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PostForm:
    """A URL to POST a multipart form to, its fields (the file comes last, as `file`), and when it stops working."""

    url: str
    fields: dict[str, str]
    expires_at: datetime


class Presigner:
    """Signs for one bucket with one set of credentials; talks to nobody.

    Whoever holds a signed URL can do what the signer could with that method and key, so the signer of uploads may
    only put under `temp/`: an unsigned `x-amz-copy-source` added to the request would copy what the signer may read.
    """

    def __init__(self, *, url: str, region: str, access_key: str, secret_key: str, bucket: str) -> None:
        base = URL(url)
        if base.scheme not in {"http", "https"} or not base.host_port_subcomponent or base.path != "/":
            raise ValueError(f"MinIO's public URL must be http(s)://host[:port], not {url!r}")
        self._host = base.host_port_subcomponent
        self._root = f"{base.scheme}://{self._host}"
        self._signer = Signer(access_key=access_key, secret_key=secret_key, region=region)
        self._bucket = bucket

    @classmethod
    def uploads(cls, settings: Settings) -> Self:
        """Sign uploads with the signer's credentials, for the address that clients see."""
        return cls(
            url=settings.minio_public_url or settings.minio_url,
            region=settings.minio_region,
            access_key=settings.signer_access_key,
            secret_key=settings.signer_secret_key.get_secret_value(),
            bucket=settings.bucket,
        )

    @classmethod
    def downloads(cls, settings: Settings) -> Self:
        """Sign downloads with this process's own credentials, for the address that clients see."""
        return cls(
            url=settings.minio_public_url or settings.minio_url,
            region=settings.minio_region,
            access_key=settings.minio_access_key,
            secret_key=settings.minio_secret_key.get_secret_value(),
            bucket=settings.bucket,
        )

    def presign_put(
        self, key: str, *, content_type: str, size: int, expires: int, now: datetime | None = None
    ) -> PresignedPut:
        """Permit one PUT of exactly `size` bytes of this type under this key, unless there is an object already.

        A second PUT is answered 412, which a client that isn't sure of its first may take as success.

        Args:
            key: The object's key.
            content_type: The media type the client declared.
            size: Length in bytes.
            expires: Seconds the URL is valid, at most seven days.
            now: When the seconds begin; none: now.
        """
        headers = {"Content-Type": content_type, "Content-Length": str(size), "If-None-Match": "*"}
        now = now or datetime.now(UTC)
        return PresignedPut(self._signed(("PUT", key), {}, headers, expires, now), headers, _expiry(now, expires))

    def presign_get(
        self,
        key: str,
        *,
        expires: int,
        file_name: str | None = None,
        inline: bool = False,
        content_type: str | None = None,
        version_id: str | None = None,
        now: datetime | None = None,
    ) -> str:
        """Permit reading one object.

        Args:
            key: The object's key.
            expires: Seconds the URL is valid, at most seven days.
            file_name: What the download is called: a client's own words, escaped here.
            inline: Let a browser show it, rather than save it.
            content_type: What the answer says it is, whatever was stored.
            version_id: The version; none: the newest.
            now: When the seconds begin; none: now.
        """
        query: dict[str, str] = {}
        if version_id is not None:
            query["versionId"] = version_id
        if file_name is not None or inline:
            query["response-content-disposition"] = content_disposition(file_name, inline=inline)
        if content_type is not None:
            query["response-content-type"] = content_type
        return self._signed(("GET", key), query, {}, expires, now or datetime.now(UTC))

    def presign_many(self, folder: str, *, expires: int, now: datetime) -> Callable[[str], str]:
        """Permit reading files of one folder: what signs one after another, at a third of the cost.

        What is the same for all, which is all but the name, is escaped and ordered once.

        Args:
            folder: The keys' beginning, up to and with a slash.
            expires: Seconds the URLs are valid, at most seven days.
            now: When the seconds begin.
        """
        mark = "-"
        whole = self._signed(("GET", f"{folder}{mark}"), {}, {}, expires, now)
        before, _, query = whole.rpartition("&")[0].rpartition(f"{mark}?")
        path, stamp = before.removeprefix(self._root), _amz(now)

        def sign(name: str) -> str:
            escaped = escape(name)
            _, signature = self._signer.request(stamp, "GET", f"{path}{escaped}", query, {"host": self._host}, UNSIGNED)
            return f"{before}{escaped}?{query}&X-Amz-Signature={signature}"

        return sign

    def post_policy(
        self,
        key: str,
        *,
        content_type: str,
        least: int,
        most: int,
        expires: int,
        now: datetime | None = None,
    ) -> PostForm:
        """Permit an HTML form to upload under this key, of this type, of `least` to `most` bytes.

        Unlike a PUT, a form can overwrite what it wrote until it expires.
        """
        now = now or datetime.now(UTC)
        stamp = _amz(now)
        expires_at = _expiry(now, expires)
        fields = {
            "key": key,
            "Content-Type": content_type,
            "x-amz-algorithm": ALGORITHM,
            "x-amz-credential": self._signer.credential(stamp),
            "x-amz-date": stamp,
        }
        conditions: list[tuple[str, str | int, str | int]] = [("eq", "$bucket", self._bucket)]
        conditions += [("eq", f"${name}", value) for name, value in fields.items()]
        conditions += [("content-length-range", least, most)]
        document = {"expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "conditions": conditions}
        policy = base64.b64encode(json.dumps(document).encode()).decode()
        signature = self._signer.text(stamp, policy)
        return PostForm(
            f"{self._root}/{self._bucket}",
            {**fields, "policy": policy, "x-amz-signature": signature},
            expires_at,
        )

    def _signed(
        self, request: tuple[str, str], query: dict[str, str], headers: dict[str, str], expires: int, now: datetime
    ) -> str:
        method, key = request
        if not 1 <= expires <= LONGEST_SECONDS:
            raise ValueError(f"a URL is valid for 1 to {LONGEST_SECONDS} seconds, not {expires}")
        stamp, path = _amz(now), f"/{self._bucket}/{escape(key)}"
        signed = {"host": self._host, **headers}
        parameters = {
            **query,
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": self._signer.credential(stamp),
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": ";".join(sorted(name.lower() for name in signed)),
        }
        asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items())
        _, signature = self._signer.request(stamp, method, path, asked, signed, UNSIGNED)
        return f"{self._root}{path}?{asked}&X-Amz-Signature={signature}"


def content_disposition(file_name: str | None, *, inline: bool = False) -> str:
    """A Content-Disposition header (RFC 6266) for a file name from a stranger.

    The name's last path component, without what nobody sees, goes twice: in plain ASCII for old clients, and
    complete as RFC 5987 has it, where everything but letters, digits and `-._~` is percent-encoded. Of a longer name
    than a file can have the end of its stem is missing: clients and proxies refuse headers of more than 4 or 8 KiB.
    """
    kind = "inline" if inline else "attachment"
    last = (file_name or "").replace("\\", "/").rsplit("/", 1)[-1]
    name = _fitting("".join(character for character in last if _seen(character)).strip())
    if not name.strip(_JOINERS):
        return kind
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='-._~')}"


def _seen(character: str) -> bool:
    if character in _JOINERS:
        return True
    # Unassigned ones are kept: a new emoji may be newer than this Python.
    nothing = ord(character) & _LAST == _LAST or "\ufdd0" <= character <= "\ufdef"
    return not nothing and unicodedata.category(character) not in _UNSEEN


def _fitting(name: str) -> str:
    """The name in as many bytes as file systems give one, with its extension."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    end = f".{extension}" if dot and len(extension) <= LONGEST_EXTENSION else ""
    room = LONGEST_NAME - len(end.encode())
    return (stem if end else name).encode()[:room].decode(errors="ignore") + end


def _amz(when: datetime) -> str:
    return when.astimezone(UTC).strftime(STAMP)


def _expiry(now: datetime, expires: int) -> datetime:
    return now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=expires)
