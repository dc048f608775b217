"""MinIO's environment and readiness."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

REGION = "us-east-1"
_EMPTY_SHA256 = sha256(b"").hexdigest()


def environment(*, root: tuple[str, str], nats_port: int, nats_login: tuple[str, str], queue: Path) -> dict[str, str]:
    """MinIO's settings: two notification targets on one NATS, `FAST` without a queue and `DURABLE` with one.

    MinIO alone can't be both fast and safe: with a queue an event is up to 3 s late, without one it is lost while
    NATS is away.

    Args:
        root: Root access and secret key.
        nats_port: Where NATS listens on the loopback interface.
        nats_login: MinIO's NATS user and password.
        queue: Directory of the durable target's queue.
    """
    return {
        "MINIO_ROOT_USER": root[0],
        "MINIO_ROOT_PASSWORD": root[1],
        "MINIO_SITE_REGION": REGION,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        # On, a frozen NATS makes every PUT take 5 s; off, the fast target is as fast.
        "MINIO_API_SYNC_EVENTS": "off",
        "MINIO_API_STALE_UPLOADS_EXPIRY": "24h",  # a lifecycle rule for unfinished uploads is dropped silently
        "MINIO_API_CORS_ALLOW_ORIGIN": "*",
        **_target("FAST", nats_port, nats_login),
        **_target("DURABLE", nats_port, nats_login),
        "MINIO_NOTIFY_NATS_QUEUE_DIR_DURABLE": str(queue),
    }


def _target(name: str, nats_port: int, login: tuple[str, str]) -> Mapping[str, str]:
    # Booleans must be exactly `on`: `true` silently publishes without JetStream's acknowledgement.
    return {
        f"MINIO_NOTIFY_NATS_ENABLE_{name}": "on",
        f"MINIO_NOTIFY_NATS_ADDRESS_{name}": f"127.0.0.1:{nats_port}",
        f"MINIO_NOTIFY_NATS_SUBJECT_{name}": f"minio.{name.lower()}",
        f"MINIO_NOTIFY_NATS_USERNAME_{name}": login[0],
        f"MINIO_NOTIFY_NATS_PASSWORD_{name}": login[1],
        f"MINIO_NOTIFY_NATS_JETSTREAM_{name}": "on",
    }


async def ready(port: int, root: tuple[str, str]) -> bool:
    """Whether MinIO serves and knows its users and policies.

    `/minio/health/live` answers 200 before they are loaded, while requests still get 503 or are refused; a list of the
    policies is answered afterwards only.
    """
    url = urlsplit(f"http://127.0.0.1:{port}/minio/admin/v3/list-canned-policies")
    now = datetime.now(UTC)
    headers = sign_v4_s3(
        method="GET",
        url=url,
        region=REGION,
        headers={"Host": url.netloc, "x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"},
        credentials=Credentials(*root),
        content_sha256=_EMPTY_SHA256,
        date=now,
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {url.path} HTTP/1.0\r\n{head}\r\n".encode())
        return b" 200 " in await reader.readline()
    finally:
        writer.close()
