"""One credential per job on MinIO and MongoDB: each can do its work, and nothing of anybody else's."""

import asyncio
import http.client
import io
import secrets
import tarfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from minio import Minio
from minio.error import S3Error
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from infra.bucket import admin_client, provision_bucket
from infra.local.threaded import ThreadedStack
from infra.presign import PostForm, Presigner


@pytest.fixture(scope="module")
def bucket(stack: ThreadedStack) -> str:
    """The bucket, its notifications off, since these tests have no stream for them."""
    provision_bucket(stack.settings("operator"), notify=False)
    return stack.info.bucket


def as_job(stack: ThreadedStack, job: str) -> Minio:
    """A client with a job's MinIO credentials."""
    secret = SecretStr(stack.info.secrets[f"minio_{job}"])
    return admin_client(stack.settings("root", minio_access_key=job, minio_secret_key=secret))


def put(client: Minio, bucket: str, key: str) -> str | None:
    """Store a few bytes and return the version id."""
    return client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(b"text"), length=4).version_id


def denied(act: Callable[[], object]) -> bool:
    """Whether MinIO forbids it."""
    try:
        act()
    except S3Error as refusal:
        return refusal.code == "AccessDenied"
    return False


def ask(method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Send a request as a client would, whatever it likes to add; the status and the version that was made."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers or {}))
        with connection.getresponse() as response:
            return response.status, response.headers.get("x-amz-version-id", "")
    finally:
        connection.close()


def send(form: PostForm, body: bytes, query: str = "") -> tuple[int, str]:
    """Post a form, to its URL with a query of the client's own."""
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in form.fields.items()]
    parts += [f'name="file"; filename="file"\r\n\r\n{body.decode()}']
    content = "".join(f"--limit\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--limit--\r\n"
    return ask("POST", form.url + query, content.encode(), {"Content-Type": "multipart/form-data; boundary=limit"})


@pytest.fixture
def presigner(stack: ThreadedStack, bucket: str) -> Presigner:
    """Signs uploads as the gateway does."""
    return Presigner.uploads(stack.settings("gateway"))


def test_the_signer_only_puts_under_temp(stack: ThreadedStack, bucket: str, presigner: Presigner) -> None:
    """A presigned URL lends the signer's rights, so they are next to nothing; its key alone does nothing at all."""
    signed = presigner.presign_put("temp/signed", content_type="text/plain", size=4, expires=60)
    assert ask("PUT", signed.url, b"text", signed.headers)[0] == 200
    elsewhere = presigner.presign_put("permanent/signed", content_type="text/plain", size=4, expires=60)
    assert ask("PUT", elsewhere.url, b"text", elsewhere.headers)[0] == 403
    copy = presigner.presign_put("temp/copied", content_type="text/plain", size=0, expires=60)
    source = {"x-amz-copy-source": f"/{bucket}/temp/signed"}
    assert ask("PUT", copy.url, b"", copy.headers | source)[0] == 403
    signer = as_job(stack, "signer")
    assert denied(lambda: put(signer, bucket, "temp/by its key"))
    assert denied(lambda: signer.get_object(bucket_name=bucket, object_name="temp/signed"))
    assert denied(lambda: signer.remove_object(bucket_name=bucket, object_name="temp/signed"))
    assert denied(lambda: list(signer.list_objects(bucket_name=bucket)))


def test_a_form_names_no_version(stack: ThreadedStack, bucket: str, presigner: Presigner) -> None:
    """A form's URL isn't signed; a version in it, which would replace that version's bytes, is refused."""
    form = presigner.post_policy("temp/form", content_type="text/plain", least=0, most=100, expires=60)
    status, version = send(form, b"first")
    assert status == 204
    for query in (f"?versionId={version}", f"?versionId={version}&versionid=", f"?versionid=&versionId={version}"):
        assert send(form, b"other", query)[0] == 403
    with as_job(stack, "operator").get_object(bucket_name=bucket, object_name="temp/form", version_id=version) as kept:
        assert kept.read() == b"first"
    assert send(form, b"other")[1] not in ("", version)


@pytest.mark.parametrize("hiding", [{}, {"authtype": "POST"}, {"authtype": "REST-HEADER"}], ids=["", "post", "header"])
@pytest.mark.parametrize("job", ["signer", "functions", "gateway", "operator", "root"])
@pytest.mark.parametrize("prefix", ["temp", "permanent", "records", "quarantine"])
def test_nobody_writes_without_a_signature(
    stack: ThreadedStack, bucket: str, job: str, prefix: str, hiding: dict[str, str]
) -> None:
    """An archive that MinIO would unpack without looking at its signature is refused under every access key."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("unsigned")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-date": now,
        "x-amz-meta-snowball-auto-extract": "true",
        "x-amz-meta-minio-snowball-prefix": prefix,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={job}/{now[:8]}/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={'0' * 64}",
        **hiding,
    }
    url = f"{stack.settings('operator').minio_url}/{bucket}/{prefix}/archive"
    assert ask("PUT", url, archive.getvalue(), headers)[0] == 403
    assert ask("PUT", url + "?authType=POST", archive.getvalue(), headers)[0] == 403
    assert not list(as_job(stack, "operator").list_objects(bucket_name=bucket, prefix=f"{prefix}/unsigned"))


def test_functions_read_temp_and_write_elsewhere(stack: ThreadedStack, bucket: str) -> None:
    """Functions read and delete versions under temp/, write where products go, and never read quarantine/."""
    operator, functions = as_job(stack, "operator"), as_job(stack, "functions")
    version = put(operator, bucket, "temp/read")
    functions.get_object(bucket_name=bucket, object_name="temp/read", version_id=version).close()
    functions.remove_object(bucket_name=bucket, object_name="temp/read", version_id=version)
    listed = functions.list_objects(bucket_name=bucket, prefix="temp/read", include_version=True)
    assert list(listed) == []
    for prefix in ("permanent", "records", "work"):
        assert put(functions, bucket, f"{prefix}/written") is None
        functions.get_object(bucket_name=bucket, object_name=f"{prefix}/written").close()
        functions.remove_object(bucket_name=bucket, object_name=f"{prefix}/written")
    put(functions, bucket, "quarantine/written")
    assert denied(lambda: functions.get_object(bucket_name=bucket, object_name="quarantine/written"))
    assert denied(lambda: put(functions, bucket, "temp/written"))
    operator.get_object(bucket_name=bucket, object_name="quarantine/written").close()


def test_the_gateway_reads_permanent_alone(stack: ThreadedStack, bucket: str) -> None:
    """The gateway delivers what was promoted; it can neither write nor see what was not."""
    operator, gateway = as_job(stack, "operator"), as_job(stack, "gateway")
    for prefix in ("permanent", "temp", "quarantine", "records"):
        put(operator, bucket, f"{prefix}/delivered")
    url = gateway.presigned_get_object(
        bucket_name=bucket, object_name="permanent/delivered", expires=timedelta(minutes=1)
    )
    with urllib.request.urlopen(url) as body:
        assert body.read() == b"text"
    for prefix in ("temp", "quarantine", "records"):
        key = f"{prefix}/delivered"
        assert denied(lambda key=key: gateway.get_object(bucket_name=bucket, object_name=key))
    assert denied(lambda: put(gateway, bucket, "permanent/other"))


async def test_mongo_asks_for_a_password_and_minds_roles(stack: ThreadedStack) -> None:
    """Without credentials nothing; functions write, the gateway reads."""
    settings = {role: stack.settings(role) for role in ("functions", "gateway")}
    database = settings["gateway"].mongo_database
    async with (
        AsyncMongoClient[dict[str, object]](f"mongodb://127.0.0.1:{stack.info.ports['mongo']}") as nobody,
        AsyncMongoClient[dict[str, object]](settings["functions"].mongo_url) as functions,
        AsyncMongoClient[dict[str, object]](settings["gateway"].mongo_url) as gateway,
    ):
        await functions[database]["kept"].insert_one({"_id": "one"})
        assert await gateway[database]["kept"].find_one({"_id": "one"})
        for refused in (
            nobody[database]["kept"].find_one({}),
            gateway[database]["kept"].delete_one({"_id": "one"}),
            functions["elsewhere"]["kept"].insert_one({"_id": "one"}),
        ):
            with pytest.raises(OperationFailure):
                await refused
        await functions[database].drop_collection("kept")


async def test_mongo_logs_no_words_of_strangers(stack: ThreadedStack) -> None:
    """A slow command is not logged with its values."""
    settings = stack.settings("operator")
    word = f"word{secrets.token_hex(8)}"
    async with AsyncMongoClient[dict[str, object]](settings.mongo_url) as client:
        kept = client[settings.mongo_database]["kept"]
        await kept.insert_one({"_id": word})
        slow = {"_id": word, "$where": "sleep(300) || true"}
        assert await kept.find_one(slow)
        await kept.drop()
    log = await asyncio.to_thread((stack.info.data / "logs" / "mongo.log").read_text)
    assert "Waiting for connections" in log
    assert word not in log
