"""What a signed URL or form permits, and what a real MinIO refuses."""

import json
from collections.abc import AsyncIterator, Generator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import aiohttp
import pytest

from infra.objects import Objects
from infra.presign import PostForm, PresignedPut, Presigner, content_disposition
from infra.settings import Settings
from tests.infra.servers import BUCKET, REGION, ROOT, MinioServer, minio_server

SIGNER = ("signer", "signer-secret")
BODY = b"%PDF-1.7 as it were"
PDF = "application/pdf"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[MinioServer]:
    """A MinIO with a signer who may put under temp/ and nothing else."""
    policy = tmp_path_factory.mktemp("policy") / "signer.json"
    statement = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": [f"arn:aws:s3:::{BUCKET}/temp/*"]}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with minio_server() as running:
        running.add_user(*SIGNER, policy)
        yield running


@pytest.fixture
def presigner(server: MinioServer) -> Presigner:
    """What the gateway signs uploads with."""
    return presigner_of(server, *SIGNER)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A stranger's HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def objects(server: MinioServer) -> AsyncIterator[Objects]:
    """The bucket, as root sees it."""
    async with server.objects() as bucket:
        yield bucket


def presigner_of(server: MinioServer, access_key: str, secret_key: str) -> Presigner:
    """A presigner with somebody's credentials."""
    return Presigner(url=server.url, region=REGION, access_key=access_key, secret_key=secret_key, bucket=BUCKET)


async def put(
    client: aiohttp.ClientSession, put: PresignedPut, body: bytes = BODY, headers: Mapping[str, str] | None = None
) -> int:
    """PUT a body to a presigned URL and return the status."""
    sent = put.headers if headers is None else headers
    async with client.put(put.url, data=body, headers=sent, skip_auto_headers=["Content-Type"]) as response:
        return response.status


async def post(client: aiohttp.ClientSession, form: PostForm, body: bytes = BODY, **changed: str) -> int:
    """POST a form with a file and return the status."""
    data = aiohttp.FormData({**form.fields, **{name.replace("_", "-"): value for name, value in changed.items()}})
    data.add_field("file", body, filename="whatever.pdf", content_type="application/octet-stream")
    async with client.post(form.url, data=data) as response:
        return response.status


class TestPut:
    """A presigned PUT."""

    async def test_once(self, presigner: Presigner, client: aiohttp.ClientSession, objects: Objects) -> None:
        """What was announced is taken once; a second PUT is 412 and changes nothing."""
        signed = presigner.presign_put("temp/once", content_type=PDF, size=len(BODY), expires=60)
        assert await put(client, signed) == 200
        assert await put(client, signed, BODY[::-1]) == 412
        versions = [entry async for entry in objects.list_versions("temp/once")]
        info = await objects.head("temp/once")
        assert len(versions) == 1
        assert info is not None
        assert (info.size, info.content_type, info.version_id) == (len(BODY), PDF, versions[0].version_id)

    async def test_awkward_key(self, presigner: Presigner, client: aiohttp.ClientSession, objects: Objects) -> None:
        """Any key can be signed."""
        key = "temp/a b+c=d&é/ü%20~(1)'*"
        assert await put(client, presigner.presign_put(key, content_type=PDF, size=len(BODY), expires=60)) == 200
        assert await objects.head(key) is not None

    @pytest.mark.parametrize(
        "change",
        [
            {"Content-Type": "text/html"},
            {"Content-Type": None},
            {"If-None-Match": None},
            {"If-None-Match": '"abc"'},
            {"x-amz-meta-owner": "mallory"},
        ],
    )
    async def test_other_headers(
        self, presigner: Presigner, client: aiohttp.ClientSession, objects: Objects, change: dict[str, str | None]
    ) -> None:
        """Another type, another or no precondition, or metadata nobody signed is refused."""
        signed = presigner.presign_put("temp/headers", content_type=PDF, size=len(BODY), expires=60)
        headers = {name: value for name, value in {**signed.headers, **change}.items() if value is not None}
        assert await put(client, signed, headers=headers) in {400, 403}
        assert await objects.head("temp/headers") is None

    @pytest.mark.parametrize("body", [BODY + b"!", BODY[:-1], b""])
    async def test_other_length(
        self, presigner: Presigner, client: aiohttp.ClientSession, objects: Objects, body: bytes
    ) -> None:
        """A body of another length, honestly declared, is refused."""
        signed = presigner.presign_put("temp/length", content_type=PDF, size=len(BODY), expires=60)
        assert await put(client, signed, body, {**signed.headers, "Content-Length": str(len(body))}) == 403
        assert await objects.head("temp/length") is None

    async def test_other_key_or_method(
        self, presigner: Presigner, client: aiohttp.ClientSession, objects: Objects
    ) -> None:
        """A URL is good for its own key and method."""
        signed = presigner.presign_put("temp/key", content_type=PDF, size=len(BODY), expires=60)
        other = PresignedPut(signed.url.replace("/temp/key", "/temp/other"), signed.headers, signed.expires_at)
        assert await put(client, other) == 403
        assert await put(client, signed) == 200
        for method in ("GET", "DELETE"):
            async with client.request(method, signed.url) as response:
                assert response.status in {400, 403}
        assert await objects.head("temp/other") is None
        assert await objects.head("temp/key") is not None

    async def test_expired(self, presigner: Presigner, client: aiohttp.ClientSession) -> None:
        """A URL stops working when it says so, and can't be prolonged."""
        earlier = datetime.now(UTC) - timedelta(seconds=120)
        signed = presigner.presign_put("temp/expired", content_type=PDF, size=len(BODY), expires=60, now=earlier)
        assert signed.expires_at < datetime.now(UTC)
        assert await put(client, signed) == 403
        longer = signed.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")
        assert await put(client, PresignedPut(longer, signed.headers, signed.expires_at)) == 403

    async def test_copy_source(self, presigner: Presigner, client: aiohttp.ClientSession, objects: Objects) -> None:
        """A client that adds a copy source gets nothing copied, from outside temp/ or from another's upload."""
        await objects.put("permanent/secret", b"secret", content_type="text/plain")
        await objects.put("temp/others", b"other's", content_type="text/plain")
        signed = presigner.presign_put("temp/copied", content_type=PDF, size=0, expires=60)
        for source in ("permanent/secret", "temp/others"):
            headers = {**signed.headers, "x-amz-copy-source": f"/{BUCKET}/{source}"}
            assert await put(client, signed, b"", headers) in {400, 403}
        assert await objects.head("temp/copied") is None

    @pytest.mark.parametrize("expires", [0, -1, 7 * 86400 + 1])
    def test_bounds(self, presigner: Presigner, expires: int) -> None:
        """No URL is signed for longer than a week."""
        with pytest.raises(ValueError, match="valid for"):
            presigner.presign_put("temp/a", content_type=PDF, size=1, expires=expires)

    def test_public_address(self) -> None:
        """URLs carry the address that clients use, without the scheme's own port."""
        settings = Settings(
            minio_url="http://minio:9000",
            minio_public_url="https://files.example.com:443",
            signer_access_key="a",
            signer_secret_key="b",  # pyright: ignore[reportArgumentType] - pydantic makes it a secret
        )
        signed = Presigner.uploads(settings).presign_put("temp/a", content_type=PDF, size=1, expires=60)
        assert signed.url.startswith("https://files.example.com/tidegate/temp/a?")
        with pytest.raises(ValueError, match="public URL"):
            Presigner(url="files.example.com", region="r", access_key="a", secret_key="b", bucket="tidegate")


class TestForm:
    """A signed HTML form."""

    @pytest.fixture
    def form(self, presigner: Presigner, request: pytest.FixtureRequest) -> PostForm:
        """A form for a key of the test's own."""
        key = f"temp/form-{request.node.name}"
        return presigner.post_policy(key, content_type=PDF, least=5, most=100, expires=60)

    async def test_accepted(self, form: PostForm, client: aiohttp.ClientSession, objects: Objects) -> None:
        """A form filled in as signed is taken, with the signed type and not the browser's."""
        assert await post(client, form) == 204
        info = await objects.head(form.fields["key"])
        assert info is not None
        assert (info.size, info.content_type) == (len(BODY), PDF)

    @pytest.mark.parametrize("size", [4, 101, 500_000])
    async def test_length(self, form: PostForm, client: aiohttp.ClientSession, objects: Objects, size: int) -> None:
        """Too short and too long are refused."""
        assert await post(client, form, bytes(size)) == 400
        assert await objects.head(form.fields["key"]) is None

    async def test_changed_fields(self, form: PostForm, client: aiohttp.ClientSession, objects: Objects) -> None:
        """Another type, another key, or a field that wasn't signed is refused."""
        assert await post(client, form, Content_Type="text/html") == 403
        assert await post(client, form, key="temp/elsewhere") == 403
        assert await post(client, form, x_amz_meta_owner="mallory") == 403
        assert await objects.head("temp/elsewhere") is None
        assert await objects.head(form.fields["key"]) is None

    async def test_expired(self, presigner: Presigner, client: aiohttp.ClientSession) -> None:
        """A form stops working when it says so."""
        earlier = datetime.now(UTC) - timedelta(seconds=120)
        form = presigner.post_policy("temp/late", content_type=PDF, least=1, most=100, expires=60, now=earlier)
        assert await post(client, form) == 403

    async def test_outside_temp(self, presigner: Presigner, client: aiohttp.ClientSession) -> None:
        """Even a form signed for another place is held back by what the signer may do."""
        form = presigner.post_policy("permanent/x", content_type=PDF, least=1, most=100, expires=60)
        assert await post(client, form) == 403


class TestGet:
    """A presigned GET."""

    async def test_headers(self, server: MinioServer, client: aiohttp.ClientSession, objects: Objects) -> None:
        """The answer carries the name and type that were signed, whatever the name."""
        await objects.put("permanent/m/original.pdf", BODY, content_type="text/html")
        name = 'ré "sumé";\r\nSet-Cookie: a=b\\..\\évil 😀.pdf'
        url = presigner_of(server, *ROOT).presign_get(
            "permanent/m/original.pdf", expires=60, file_name=name, content_type=PDF
        )
        async with client.get(url) as response:
            assert response.status == 200
            assert await response.read() == BODY
            assert response.content_type == PDF
            assert response.headers["Content-Disposition"] == content_disposition(name)
            assert "Set-Cookie" not in response.headers
        async with client.get(url.replace("attachment", "inline")) as response:
            assert response.status == 403

    async def test_version(self, server: MinioServer, client: aiohttp.ClientSession, objects: Objects) -> None:
        """A version can be signed for."""
        await objects.put("temp/v", b"first", content_type=PDF)
        first = await objects.head("temp/v")
        await objects.put("temp/v", b"second", content_type=PDF)
        assert first is not None
        url = presigner_of(server, *ROOT).presign_get("temp/v", expires=60, version_id=first.version_id, inline=True)
        async with client.get(url) as response:
            assert (response.status, await response.read()) == (200, b"first")
            assert response.headers["Content-Disposition"] == "inline"

    async def test_signer_may_not_read(self, presigner: Presigner, client: aiohttp.ClientSession) -> None:
        """The signer of uploads can't be used to read."""
        async with client.get(presigner.presign_get("temp/v", expires=60)) as response:
            assert response.status == 403


class TestContentDisposition:
    """A stranger's file name in a header."""

    @pytest.mark.parametrize(
        ("name", "header"),
        [
            ("a.pdf", "attachment; filename=\"a.pdf\"; filename*=UTF-8''a.pdf"),
            ("../../etc/passwd", "attachment; filename=\"passwd\"; filename*=UTF-8''passwd"),
            ("C:\\x\\y z.pdf", "attachment; filename=\"y z.pdf\"; filename*=UTF-8''y%20z.pdf"),
            ('a"b;c.pdf', "attachment; filename=\"a_b_c.pdf\"; filename*=UTF-8''a%22b%3Bc.pdf"),
            ("é.pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%C3%A9.pdf"),
            ("a\r\nb", "attachment; filename=\"ab\"; filename*=UTF-8''ab"),
            ("\u202egnp.exe", "attachment; filename=\"gnp.exe\"; filename*=UTF-8''gnp.exe"),
            ("a\u2028b\ud800", "attachment; filename=\"ab\"; filename*=UTF-8''ab"),
            ("\u200d\u200c", "attachment"),
            ("", "attachment"),
            (None, "attachment"),
        ],
    )
    def test_names(self, name: str | None, header: str) -> None:
        """Paths, quotes, control and direction characters don't get through; other scripts do."""
        assert content_disposition(name) == header

    @pytest.mark.parametrize(
        "name",
        [
            "日本語 'x'.pdf",
            "報告\u3000書.pdf",
            "Screenshot at 3.04.05\u202fPM.png",
            "می\u200cشود.txt",
            "👩\u200d👩\u200d👧.jpg",
            "\U0001fae8.png",
        ],
    )
    def test_complete_name(self, name: str) -> None:
        """The second form carries the whole name: every space, what joins letters and emoji, and what is new."""
        assert unquote(content_disposition(name).rsplit("''", 1)[1]) == name

    @pytest.mark.parametrize(
        ("name", "fitting"),
        [
            ("x" * 255, "x" * 255),
            ("x" * 1024, "x" * 255),
            ("x" * 1020 + ".pdf", "x" * 251 + ".pdf"),
            ("\U0001f4a9" * 1000 + ".jpeg", "\U0001f4a9" * 62 + ".jpeg"),
            ("a." + "x" * 1000, "a." + "x" * 253),
            ("." * 1000, "." * 255),
        ],
    )
    def test_long_name(self, name: str, fitting: str) -> None:
        """However long a name is, the header fits what clients and proxies take, and the extension is there."""
        header = content_disposition(name)
        assert len(header) < 2048
        assert unquote(header.rsplit("''", 1)[1]) == fitting


@pytest.mark.parametrize("name", ["seg-0-00001.m4s", "a b+c%.mp4", "é/~x"])
def test_many_are_signed_as_one_is(name: str) -> None:
    """Signing a folder's files one after another gives the URL that signing each by itself gives."""
    presigner = Presigner(
        url="https://files.example", region="us-east-1", access_key="gateway", secret_key="s" * 40, bucket="tidegate"
    )
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sign = presigner.presign_many("permanent/m-1/stream/", expires=3600, now=now)
    assert sign(name) == presigner.presign_get(f"permanent/m-1/stream/{name}", expires=3600, now=now)
