"""MinIO's environment and readiness."""

import asyncio
from collections.abc import Mapping
from pathlib import Path


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
        "MINIO_SITE_REGION": "us-east-1",
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


async def ready(port: int) -> bool:
    """Whether MinIO serves and knows its users.

    `/minio/health/live` answers 200 before the users are loaded, while every signed request still gets 503; a request
    without credentials is refused with 403 only once it could be judged.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        return b" 403 " in await reader.readline()
    finally:
        writer.close()
