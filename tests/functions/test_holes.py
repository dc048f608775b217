"""What a client can add to a signed upload: MinIO refuses it, or takes it and it gets nobody any further.

Contained means: what was uploaded goes the usual way, and what is promoted has its bytes and our metadata, and nothing
of what the client added; no other object came to be. The holes are those of MinIO's last source.
"""

import io
import tarfile
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from yarl import URL

from infra.bucket import admin_client
from infra.local.threaded import ThreadedStack
from infra.presign import PostForm, PresignedPut
from schemas.document import event_name
from schemas.subjects import temp_key
from tests.system import System, poll, provisioned, working

BODY = b"A text that goes through, if anything does."


def archive() -> bytes:
    """A tar that would put a file beside the upload."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        member = tarfile.TarInfo("smuggled")
        member.size = len(BODY)
        tar.addfile(member, io.BytesIO(BODY))
    return output.getvalue()


ARCHIVE = archive()
VERSION = "11111111-2222-4333-8444-555555555555"
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

TAKEN = {
    "tags": {"x-amz-tagging": "a=b"},
    "acl": {"x-amz-acl": "public-read"},
    "grant": {"x-amz-grant-read": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'},
    "storage class": {"x-amz-storage-class": "REDUCED_REDUNDANCY"},
    "redirect": {"x-amz-website-redirect-location": "https://evil.example/"},
    "gzip": {"content-encoding": "gzip"},
    "chunked": {"content-encoding": "aws-chunked"},
    "cached": {"cache-control": "public, max-age=31536000", "expires": "Thu, 01 Dec 2099 16:00:00 GMT"},
    "shown": {"content-disposition": "inline; filename=evil.html", "content-language": "de"},
    "past": {"x-minio-source-mtime": "2001-01-01T00:00:00Z"},
    "future": {"x-minio-source-mtime": "2099-01-01T00:00:00Z"},
    "source etag": {"x-minio-source-etag": "0" * 32},
    "source version": {"x-minio-source-versionid": VERSION},
    "replica": {"x-amz-bucket-replication-status": "REPLICA"},
    "proxied": {"x-minio-source-proxy-request": "true"},
    "delete marker": {"x-minio-source-deletemarker": "true"},
    "force delete": {"x-minio-force-delete": "true"},
    "internal size": {"x-minio-internal-actual-object-size": "1"},
    "internal encryption": {"x-minio-internal-server-side-encryption-sealed-key": "x"},
    "metadata of MinIO's": {"x-minio-meta-tidegate-sha256": "0" * 64},
    "extract": {"x-minio-extract": "true"},
    "unsigned": {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
    "decoded length": {"x-amz-decoded-content-length": "5"},
    "method": {"x-http-method-override": "DELETE"},
    "forwarded": {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
    "restore": {"x-amz-restore": "ongoing-request"},
}
"""Headers beside the signed ones with which MinIO takes a PUT."""

UNANNOUNCED = {
    "replicated": {"x-minio-source-replication-request": "true"},
    "long ago": {"x-minio-source-replication-request": "true", "x-minio-source-mtime": "2001-01-01T00:00:00Z"},
    "in future": {"x-minio-source-replication-request": "true", "x-minio-source-mtime": "2099-01-01T00:00:00Z"},
}
"""Headers with which MinIO takes an upload and tells nobody, as though another site had: `sweep` finds it."""

REFUSED = {
    "copy": {"x-amz-copy-source": "/tidegate/permanent/secret"},
    "copy of an upload": {"x-amz-copy-source": "/tidegate/temp/secret"},
    "copy of a part": {"x-amz-copy-source": "/tidegate/permanent/secret", "x-amz-copy-source-range": "bytes=0-1"},
    "metadata": {"x-amz-meta-tidegate-sha256": "0" * 64},
    "archive": {"x-amz-meta-snowball-auto-extract": "true"},
    "archive elsewhere": {
        "x-amz-meta-snowball-auto-extract": "true",
        "x-amz-meta-minio-snowball-prefix": "permanent",
    },
    "storage class": {"x-amz-storage-class": "GLACIER"},
    "lock": {
        "x-amz-object-lock-mode": "COMPLIANCE",
        "x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z",
    },
    "legal hold": {"x-amz-object-lock-legal-hold": "ON"},
    "encryption": {"x-amz-server-side-encryption": "AES256"},
    "encryption by KMS": {"x-amz-server-side-encryption": "aws:kms"},
    "encryption of the client's": {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": KEY,
        "x-amz-server-side-encryption-customer-key-md5": "Uvsc2lPZNYIvJhXcvQ8bUA==",
    },
    "replica": {"x-amz-replication-status": "REPLICA"},
    "internal compression": {"x-minio-internal-compression": "klauspost/compress/s2"},
    "unsigned trailer": {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
    "unsigned trailer and archive": {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-meta-snowball-auto-extract": "true",
    },
    "signed stream": {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
    "another digest": {"x-amz-content-sha256": "0" * 64},
    "another checksum": {"x-amz-checksum-sha256": "A" * 43 + "="},
    "another signature": {"authorization": "AWS4-HMAC-SHA256 Credential=signer/20260101/us-east-1/s3/aws4_request"},
    "version": {"versionid": VERSION},
    "if there": {"if-match": "*"},
}
"""Headers with which it doesn't."""

QUERIES = (
    f"versionId={VERSION}",
    f"versionid={VERSION}",
    "tagging",
    "acl",
    "retention",
    "legal-hold",
    "uploads",
    "uploadId=x&partNumber=1",
    "attributes",
    "restore",
)

# A form is refused every field that its policy doesn't name, but for these.
UNREAD_FIELDS = {"ignored": {"x-ignore-anything": "b"}, "bucket": {"bucket": "other"}}
FIELDS = {
    "acl": {"acl": "public-read"},
    "tags": {"tagging": TAGS.decode()},
    "tags, as a header": {"x-amz-tagging": "a=b"},
    "metadata": {"x-amz-meta-tidegate-sha256": "0" * 64},
    "redirect": {"success_action_redirect": "https://evil.example/"},
    "status": {"success_action_status": "201"},
    "gzip": {"Content-Encoding": "gzip"},
    "shown": {"Content-Disposition": "inline"},
    "storage class": {"x-amz-storage-class": "REDUCED_REDUNDANCY"},
    "lock": {"x-amz-object-lock-mode": "COMPLIANCE"},
    "website": {"x-amz-website-redirect-location": "https://evil.example/"},
    "encryption": {"x-amz-server-side-encryption": "AES256"},
    "checksum": {"x-amz-checksum-sha256": "A" * 43 + "="},
    "internal": {"x-minio-internal-compression": "a"},
    "time": {"x-minio-source-mtime": "2001-01-01T00:00:00Z"},
    "version": {"versionId": VERSION},
    "second key": {"key": "permanent/x"},
    "second type": {"content-type": "text/html"},
}
# And it is refused headers that a PUT is not.
REFUSED_OF_FORMS = (
    "encryption by KMS",
    "encryption of the client's",
    "internal compression",
    "unsigned trailer",
    "unsigned trailer and archive",
    "another signature",
    "version",
)


@pytest.fixture
async def system(stack: ThreadedStack) -> AsyncGenerator[System]:
    """A provisioned stack that holds something one would like to copy."""
    async with provisioned(stack) as provided:
        for key in ("permanent/secret", "temp/secret"):
            await provided.objects.put(key, b"secret", content_type="text/plain")
        yield provided


async def put(system: System, headers: Mapping[str, str], query: str = "", body: bytes = BODY) -> tuple[str, int]:
    """Use a presigned PUT with something added; the media and the status."""
    media_id, signed = await system.request(body, "text/plain")
    assert isinstance(signed, PresignedPut)
    url = URL(f"{signed.url}&{query}" if query else signed.url, encoded=True)
    async with system.http.put(url, headers={**signed.headers, **headers}, data=body) as response:
        return media_id, response.status


async def post(
    system: System, headers: Mapping[str, str], fields: Mapping[str, str], *, before: bool = False
) -> tuple[str, int]:
    """Use a form with something added, before the fields that it has or behind them; the media and the status."""
    media_id, form = await system.request(BODY, "text/plain", form=True)
    assert isinstance(form, PostForm)
    data = aiohttp.FormData()
    for name, value in (*(fields.items() if before else ()), *form.fields.items(), *(() if before else fields.items())):
        data.add_field(name, value)
    data.add_field("file", BODY, filename="file")
    async with system.http.post(form.url, data=data, headers=headers, allow_redirects=False) as response:
        return media_id, response.status


async def contained(system: System, media_id: str) -> None:
    """The upload went its way: what is promoted is its bytes under our words alone."""
    assert event_name(await system.ended(media_id)) == "ready"
    key = f"permanent/{media_id}/original.txt"

    async def settled() -> bool:
        return set(await system.keys(media_id)) == {key, f"records/{media_id}.json"}

    await poll(settled)
    admin, bucket = admin_client(system.settings), system.settings.bucket
    with admin.get_object(bucket_name=bucket, object_name=key) as got:
        assert got.read() == BODY
        ours = {name.lower() for name in got.headers} - PLAIN_HEADERS
    assert ours == {"x-amz-meta-tidegate-source-version", "x-amz-meta-tidegate-sha256"}
    assert not admin.get_object_tags(bucket_name=bucket, object_name=key)


PLAIN_HEADERS = {
    *("accept-ranges", "content-length", "content-type", "date", "etag", "last-modified", "server", "vary"),
    *("strict-transport-security", "content-security-policy", "x-content-type-options", "x-xss-protection"),
    *("x-amz-id-2", "x-amz-request-id", "x-amz-bucket-region", "x-ratelimit-limit", "x-ratelimit-remaining"),
}
"""What MinIO says of any object."""


async def refused(system: System, media_id: str, status: int) -> None:
    """Nothing came to be."""
    assert 400 <= status <= 501
    assert await system.keys(media_id) == []


async def test_headers_of_a_put(system: System) -> None:
    """Whatever a client adds to a signed PUT is refused, or changes nothing."""
    async with working(system):
        taken = {name: await put(system, headers) for name, headers in TAKEN.items()}
        assert {name: status for name, (_, status) in taken.items()} == dict.fromkeys(TAKEN, 200)
        for media_id, _ in taken.values():
            await contained(system, media_id)
        for headers in REFUSED.values():
            for body in (BODY, ARCHIVE):
                await refused(system, *await put(system, headers, body=body))
    assert not await smuggled(system)


@pytest.mark.parametrize("name", list(UNANNOUNCED))
@pytest.mark.parametrize("form", [False, True])
async def test_an_upload_that_is_not_announced(system: System, name: str, form: bool) -> None:
    """An upload of which MinIO is made to say nothing is found by the next sweep, whatever time it claims."""
    async with working(system, sweep_min_age_seconds=0.0):
        headers = UNANNOUNCED[name]
        media_id, status = await (post(system, headers, {}) if form else put(system, headers))
        assert status == (204 if form else 200)
        await system.tick()
        await contained(system, media_id)


async def test_query_of_a_put(system: System) -> None:
    """Nothing can be added to a signed URL."""
    for query in QUERIES:
        for body in (BODY, TAGS):
            await refused(system, *await put(system, {}, query, body))


@pytest.mark.parametrize("more", ["X-Amz-Expires=604800", "X-Amz-SignedHeaders=host"])
async def test_parameters_that_come_twice(system: System, more: str) -> None:
    """A signed parameter that is said again, before or behind, prolongs nothing and signs nothing away."""
    late = datetime.now(UTC) - timedelta(seconds=120)
    for now, type_, behind in ((late, "text/plain", 403), (None, "text/html", 403), (None, "text/plain", 200)):
        media_id, _ = await system.request(BODY, "text/plain")
        signed = system.presigner.presign_put(
            temp_key(media_id), content_type="text/plain", size=len(BODY), expires=60, now=now
        )
        path, _, query = signed.url.partition("?")
        for url, status in ((f"{path}?{more}&{query}", 403), (f"{path}?{query}&{more}", behind)):
            headers = signed.headers | {"Content-Type": type_}
            async with system.http.put(URL(url, encoded=True), headers=headers, data=BODY) as response:
                assert response.status == status


async def test_fields_of_a_form(system: System) -> None:
    """A form is taken with the fields it was signed with; what isn't read changes nothing."""
    async with working(system):
        for fields in UNREAD_FIELDS.values():
            for before in (True, False):
                media_id, status = await post(system, {}, fields, before=before)
                assert status == 204
                await contained(system, media_id)
        for fields in FIELDS.values():
            for before in (True, False):
                await refused(system, *await post(system, {}, fields, before=before))


async def test_headers_of_a_form(system: System) -> None:
    """Nor do the headers under which a form is sent do anything."""
    both = TAKEN | REFUSED
    async with working(system):
        posted = {name: await post(system, headers, {}) for name, headers in both.items()}
        assert {name for name, (_, status) in posted.items() if status != 204} == set(REFUSED_OF_FORMS)
        for name, (media_id, status) in posted.items():
            if name in REFUSED_OF_FORMS:
                await refused(system, media_id, status)
            else:
                await contained(system, media_id)
    assert not await smuggled(system)


async def smuggled(system: System) -> list[str]:
    """Objects that an archive would have brought, wherever they are."""
    return [entry.key async for entry in system.objects.list("") if "smuggled" in entry.key]
