"""One credential per job on MinIO and MongoDB: each can do its work, and nothing of anybody else's."""

import asyncio
import http.client
import io
import json
import secrets
import tarfile
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import pytest
from minio import Minio
from minio.commonconfig import CopySource, Tags
from minio.credentials.providers import AssumeRoleProvider, StaticProvider
from minio.datatypes import Bucket
from minio.error import MinioAdminException, S3Error
from minio.minioadmin import MinioAdmin
from minio.versioningconfig import SUSPENDED, VersioningConfig
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


PREFIXES = ("temp", "permanent", "records", "work", "quarantine")
READ, WRITE, REMOVE = "read", "write", "remove"
MAY: dict[str, dict[str, set[str]]] = {
    # By its key alone nothing: what it signs may put under temp/.
    "signer": {},
    "functions": {
        "temp": {READ, REMOVE},
        **{prefix: {READ, WRITE, REMOVE} for prefix in ("permanent", "records", "work")},
        "quarantine": {WRITE},
    },
    "gateway": {"permanent": {READ}},
    "operator": {prefix: {READ, WRITE, REMOVE} for prefix in PREFIXES},
}
LISTS = {"functions", "operator"}
PART = 5 * 1024 * 1024


@pytest.mark.parametrize("job", list(MAY))
@pytest.mark.parametrize("prefix", PREFIXES)
def test_who_may_do_what_where(stack: ThreadedStack, bucket: str, job: str, prefix: str) -> None:
    """Each job reads, writes and removes where the table says, by whatever call, and nowhere else."""
    operator, client = as_job(stack, "operator"), as_job(stack, job)
    may, key = MAY[job].get(prefix, set[str]()), f"{prefix}/{job}"
    for version in {None, put(operator, bucket, key)}:
        reads: list[Callable[[], object]] = [
            lambda version=version: client.get_object(bucket_name=bucket, object_name=key, version_id=version).close(),
            lambda: client.get_object(bucket_name=bucket, object_name=key, offset=1, length=2).close(),
            lambda version=version: client.stat_object(bucket_name=bucket, object_name=key, version_id=version),
        ]
        assert [not denied(act) for act in reads] == [READ in may] * len(reads)
    # A copy reads where it comes from and writes where it goes.
    for other in PREFIXES:
        target, source = f"{other}/copy-by-{job}", CopySource(bucket_name=bucket, object_name=key)
        copied = not denied(
            lambda target=target, source=source: client.copy_object(
                bucket_name=bucket, object_name=target, source=source
            )
        )
        assert copied is (READ in may and WRITE in MAY[job].get(other, set())), other
    writes: list[Callable[[], object]] = [
        lambda: put(client, bucket, f"{key}-new"),
        lambda: put(client, bucket, key),
        lambda: client.put_object(
            bucket_name=bucket, object_name=f"{key}-parts", data=io.BytesIO(bytes(PART + 1)), length=-1, part_size=PART
        ),
    ]
    assert [not denied(act) for act in writes] == [WRITE in may] * len(writes)
    tags: list[Callable[[], object]] = [
        lambda: client.get_object_tags(bucket_name=bucket, object_name=key),
        lambda: client.set_object_tags(bucket_name=bucket, object_name=key, tags=Tags.new_object_tags()),
        lambda: client.delete_object_tags(bucket_name=bucket, object_name=key),
    ]
    assert [not denied(act) for act in tags] == [job == "operator"] * len(tags)
    for version in {None, put(operator, bucket, key)}:
        removed = not denied(
            lambda version=version: client.remove_object(bucket_name=bucket, object_name=key, version_id=version)
        )
        assert removed is (REMOVE in may)
    for versions in (False, True):
        listed = not denied(
            lambda versions=versions: list(
                client.list_objects(bucket_name=bucket, prefix=f"{prefix}/", include_version=versions)
            )
        )
        assert listed is (job in LISTS)


@pytest.mark.parametrize("job", ["signer", "functions", "gateway", "operator"])
def test_nobody_but_the_operator_changes_the_bucket(stack: ThreadedStack, bucket: str, job: str) -> None:
    """Versioning, notifications, lifecycle and policy are the operator's to change; users and keys nobody's here."""
    client = as_job(stack, job)
    attempts: dict[str, Callable[[], object]] = {
        "versioning": lambda: client.set_bucket_versioning(bucket_name=bucket, config=VersioningConfig(SUSPENDED)),
        "notification": lambda: client.delete_bucket_notification(bucket_name=bucket),
        "lifecycle": lambda: client.delete_bucket_lifecycle(bucket_name=bucket),
        "policy": lambda: client.set_bucket_policy(bucket_name=bucket, policy=json.dumps(PUBLIC)),
        "its policy": lambda: client.get_bucket_policy(bucket_name=bucket),
        "removal": lambda: client.remove_bucket(bucket_name=bucket),
        "another": lambda: client.make_bucket(bucket_name="another"),
    }
    if job != "operator":
        assert {name for name, act in attempts.items() if not denied(act)} == set()
    assert not [each.name for each in listed(client) if each.name != bucket]
    settings = stack.settings("root")
    admin = MinioAdmin(
        endpoint=urlsplit(settings.minio_url).netloc,
        credentials=StaticProvider(job, stack.info.secrets[f"minio_{job}"]),
        region=settings.minio_region,
        secure=False,
    )
    for act in (
        admin.user_list,
        admin.policy_list,
        admin.info,
        lambda: admin.user_add("mallory", "mallory-secret"),
        lambda: admin.user_add(job, "another-secret"),
        lambda: admin.policy_set(f"{bucket}-operator", user=job),
        lambda: admin.add_service_account(access_key="mallory", secret_key="mallory-secret", name="m"),  # pyright: ignore[reportUnknownMemberType] - a bare dict there
    ):
        with pytest.raises(MinioAdminException, match="AccessDenied"):
            act()


@pytest.mark.parametrize("job", ["signer", "functions", "gateway"])
def test_borrowed_credentials_may_do_no_more(stack: ThreadedStack, bucket: str, job: str) -> None:
    """A job can have MinIO lend it credentials for a while; they read nothing that it doesn't."""
    operator, settings = as_job(stack, "operator"), stack.settings("root")
    lent = AssumeRoleProvider(
        sts_endpoint=settings.minio_url,
        access_key=job,
        secret_key=stack.info.secrets[f"minio_{job}"],
        region=settings.minio_region,
    ).retrieve()
    client = Minio(
        endpoint=urlsplit(settings.minio_url).netloc,
        access_key=lent.access_key,
        secret_key=lent.secret_key,
        session_token=lent.session_token,
        region=settings.minio_region,
        secure=False,
    )
    for prefix in PREFIXES:
        put(operator, bucket, f"{prefix}/lent")
        read = not denied(
            lambda prefix=prefix: client.get_object(bucket_name=bucket, object_name=f"{prefix}/lent").close()
        )
        assert read is (READ in MAY[job].get(prefix, set[str]()))
        assert denied(lambda prefix=prefix: put(client, bucket, f"{prefix}/lent-new")) is not (
            WRITE in MAY[job].get(prefix, set[str]())
        )


def listed(client: Minio) -> list[Bucket]:
    """The buckets that a job may see at all."""
    return [] if denied(client.list_buckets) else client.list_buckets()


@pytest.mark.parametrize("job", ["signer", "gateway"])
def test_what_is_signed_may_do_what_the_signer_may(stack: ThreadedStack, bucket: str, job: str) -> None:
    """What the gateway signs reads permanent/ alone, and what the signer does puts under temp/."""
    operator = as_job(stack, "operator")
    signing = stack.settings("gateway")
    presigner = Presigner.uploads(signing) if job == "signer" else Presigner.downloads(signing)
    for prefix in PREFIXES:
        version = put(operator, bucket, f"{prefix}/signed-for")
        for version_id in {None, version}:
            url = presigner.presign_get(f"{prefix}/signed-for", expires=60, version_id=version_id)
            assert (ask("GET", url)[0] == 200) is (job == "gateway" and prefix == "permanent")
        signed = presigner.presign_put(f"{prefix}/{job}-new", content_type="text/plain", size=4, expires=60)
        form = presigner.post_policy(f"{prefix}/{job}-form", content_type="text/plain", least=0, most=9, expires=60)
        taken = job == "signer" and prefix == "temp"
        assert (ask("PUT", signed.url, b"text", signed.headers)[0] == 200) is taken
        assert (send(form, b"text")[0] == 204) is taken


PUBLIC = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"], "Resource": ["*"]}],
}


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
            gateway[database]["kept"].insert_one({"_id": "two"}),
            gateway[database]["kept"].update_one({"_id": "one"}, {"$set": {"state": "ready"}}),
            gateway[database].drop_collection("kept"),
            gateway.admin.command("usersInfo", 1),
            functions.admin.command("createUser", "mallory", pwd="secret", roles=["root"]),
            functions.drop_database(database),
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
