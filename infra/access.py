"""MinIO's users and policies: one credential per job, each allowed what that job needs and nothing else."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import urllib3
from minio.credentials.providers import StaticProvider
from minio.error import S3Error
from minio.minioadmin import MinioAdmin
from pydantic import SecretStr

from infra.bucket import admin_client
from infra.settings import Settings


def policies(bucket: str) -> dict[str, dict[str, object]]:
    """The policy document of every job.

    `signer` lends its rights to whoever holds a presigned URL, hence nothing but new objects under temp/: a signer
    that could read would let an upload copy any object it can read (`x-amz-copy-source` need not be signed), and one
    that could name a version would let a form, whose URL isn't signed, replace the bytes of a version that was read
    already (`?versionId=`). MinIO looks for a condition's value among the request's headers first, so a header named
    `versionid` hides the query from it: the functions bind every step to one SHA-256 as well.
    """
    return {
        "signer": _policy(
            {
                **_allow(["PutObject"], bucket, "temp/*"),
                "Condition": {"StringEquals": {"s3:authType": ["REST-QUERY-STRING", "POST"]}},
            },
            _deny_put(bucket, "s3:versionid", "?*"),
            _unsigned(bucket),
        ),
        "functions": _policy(
            _allow(
                ["GetObject", "GetObjectVersion", "DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload"],
                bucket,
                "temp/*",
            ),
            _allow(
                ["GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload"],
                bucket,
                *("permanent/*", "records/*", "work/*"),
            ),
            _allow(["PutObject", "AbortMultipartUpload"], bucket, "quarantine/*"),
            _allow(["ListBucket", "ListBucketVersions", "GetBucketLocation"], bucket),
            _unsigned(bucket),
        ),
        "gateway": _policy(
            _allow(["GetObject"], bucket, "permanent/*"), _allow(["GetBucketLocation"], bucket), _unsigned(bucket)
        ),
        "operator": _policy(_allow(["*"], bucket), _allow(["*"], bucket, "*"), _unsigned(bucket)),
    }


def _policy(*statements: dict[str, object]) -> dict[str, object]:
    # What isn't denied here any user may do for itself: change its secret, and make further keys that outlive it.
    itself = {"Effect": "Deny", "Action": ["admin:*"]}
    return {"Version": "2012-10-17", "Statement": [*statements, itself]}


def _allow(actions: Sequence[str], bucket: str, *keys: str) -> dict[str, object]:
    """Allow actions on the bucket itself, or on objects in it."""
    resources = [f"arn:aws:s3:::{bucket}/{key}" for key in keys] or [f"arn:aws:s3:::{bucket}"]
    return {"Effect": "Allow", "Action": [f"s3:{action}" for action in actions], "Resource": resources}


def _unsigned(bucket: str) -> dict[str, object]:
    """Refuse what MinIO stores without looking at its signature, under any access key that is known.

    https://nvd.nist.gov/vuln/detail/CVE-2026-41145. The header that opens the hole is the one that is compared, so no
    other can hide it; `s3:authType` could be told otherwise by a header or a parameter of that name.
    """
    return _deny_put(bucket, "s3:x-amz-content-sha256", "STREAMING-UNSIGNED-*")


def _deny_put(bucket: str, key: str, pattern: str) -> dict[str, object]:
    """Deny writing anything in the bucket by requests of which this is true."""
    return {
        **_allow(["PutObject"], bucket, "*"),
        "Effect": "Deny",
        "Condition": {"StringLike": {key: [pattern]}},
    }


def provision_access(settings: Settings, users: Mapping[str, tuple[str, str]]) -> list[str]:
    """Make MinIO's policies and users what `policies` says; blocking.

    Args:
        settings: With MinIO's root credentials (or those of another administrator).
        users: Access and secret key of each job in `policies`; jobs that aren't named are left alone.

    Returns:
        One line for each policy or user made or changed; empty when all was right.

    Raises:
        minio.error.MinioAdminException: MinIO refused.
    """
    url = urlsplit(settings.minio_url)
    credentials = StaticProvider(settings.minio_access_key, settings.minio_secret_key.get_secret_value())
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=5, read=30), retries=urllib3.Retry(3, backoff_factor=0.2)
    )
    admin = MinioAdmin(
        endpoint=url.netloc,
        credentials=credentials,
        region=settings.minio_region,
        secure=url.scheme == "https",
        http_client=http,
    )
    done: list[str] = []
    known_policies: dict[str, object] = json.loads(admin.policy_list())
    known_users: dict[str, dict[str, object]] = json.loads(admin.user_list())
    for job, (access_key, secret_key) in users.items():
        name = f"{settings.bucket}-{job}"
        wanted = policies(settings.bucket)[job]
        if name not in known_policies or not _same_policy(known_policies[name], wanted):
            admin.policy_add(name, policy=wanted)  # pyright: ignore[reportUnknownMemberType] - a bare dict there
            done.append(f"policy {name}: {'changed' if name in known_policies else 'created'}")
        user = known_users.get(access_key)
        if user is None or not _logs_in(settings, access_key, secret_key):
            admin.user_add(access_key, secret_key)
            done.append(f"user {access_key}: {'given a new secret' if user else 'created'}")
        if user is None or user.get("policyName") != name:
            admin.policy_set(name, user=access_key)
            done.append(f"user {access_key}: given policy {name}")
    return done


def _same_policy(one: object, other: object) -> bool:
    """Whether two policies allow the same; MinIO returns lists in an order of its own."""
    return _sorted(one) == _sorted(other)


def _sorted(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps({key: _sorted(item) for key, item in cast("dict[str, Any]", value).items()}, sort_keys=True)
    if isinstance(value, list):
        return json.dumps(sorted(_sorted(item) for item in cast("list[Any]", value)))
    return json.dumps(value)


def _logs_in(settings: Settings, access_key: str, secret_key: str) -> bool:
    changes = {"minio_access_key": access_key, "minio_secret_key": SecretStr(secret_key)}
    try:
        admin_client(settings.model_copy(update=changes)).list_buckets()
    except S3Error as refusal:
        return refusal.code not in ("InvalidAccessKeyId", "SignatureDoesNotMatch")
    return True
