"""Provisioning the bucket: what it makes, what it reports, and that notifications arrive."""

import asyncio
import io
import json
import os
import signal
import time
from collections.abc import AsyncGenerator

import pytest
from minio.commonconfig import ENABLED
from minio.versioningconfig import SUSPENDED, VersioningConfig

from infra.bucket import admin_client, provision_bucket
from infra.local.threaded import ThreadedStack
from tests.infra.local.on_nats import OnNats, on_nats


@pytest.fixture
async def announced(spare_stack: ThreadedStack) -> AsyncGenerator[None]:
    """The bucket with its notifications on, and the stream that takes them."""
    settings = spare_stack.settings("operator")
    async with on_nats(spare_stack, "operator") as operator:
        uploads = {"name": "UPLOADS", "subjects": ["minio.>"], "allow_direct": True}
        await operator.ask("STREAM.CREATE.UPLOADS", uploads)
        await asyncio.to_thread(provision_bucket, settings)
    yield
    await asyncio.to_thread(provision_bucket, settings, notify=False)
    async with on_nats(spare_stack, "operator") as operator:
        await operator.ask("STREAM.DELETE.UPLOADS")


async def test_each_upload_is_announced_twice(spare_stack: ThreadedStack, announced: None) -> None:
    """An object under temp/ is announced by the fast and by the durable target; others are not."""
    versions = {key: put(spare_stack, key) for key in ("records/silent", "temp/announced")}
    async with on_nats(spare_stack, "operator") as operator:
        for subject in ("minio.fast", "minio.durable"):
            record = (await arrived(operator, subject))["Records"][0]["s3"]["object"]
            assert (record["key"], record["versionId"]) == ("temp%2Fannounced", versions["temp/announced"])
        assert (await operator.ask("STREAM.INFO.UPLOADS"))["state"]["messages"] == 2


async def test_minio_that_dies_while_nats_is_away_comes_back_with_both_targets(
    spare_stack: ThreadedStack, announced: None
) -> None:
    """Its supervisor waits for NATS: a target that can't connect at MinIO's start would disable both.

    MinIO loads a bucket's notification rules some 0.2 s after it takes its first PUT; what comes before is announced
    by neither target, and left to the sweep.
    """
    before = spare_stack.minio.pid
    await spare_stack.nats.kill()
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while spare_stack.minio.running:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await spare_stack.nats.start()
    await spare_stack.minio.wait_ready()
    assert spare_stack.minio.pid != before
    async with on_nats(spare_stack, "operator") as operator:
        deadline = time.monotonic() + 10
        while (await operator.ask("STREAM.INFO.UPLOADS"))["state"]["messages"] == 0:
            assert time.monotonic() < deadline
            await asyncio.to_thread(put, spare_stack, "temp/later")
            await asyncio.sleep(0.05)
        for subject in ("minio.fast", "minio.durable"):
            assert (await arrived(operator, subject))["Records"][0]["s3"]["object"]["key"] == "temp%2Flater"


def put(stack: ThreadedStack, key: str) -> str | None:
    """Store a byte and return the version id."""
    client, bucket = admin_client(stack.settings("operator")), stack.info.bucket
    return client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(b"x"), length=1).version_id


async def arrived(operator: OnNats, subject: str) -> dict[str, list[dict[str, dict[str, dict[str, str]]]]]:
    """The message on this subject, once there is one; the durable target takes up to 3 s."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message = await operator.client.request(f"$JS.API.DIRECT.GET.UPLOADS.{subject}", b"", timeout=5)
        if message.data:
            return json.loads(message.data)
        await asyncio.sleep(0.05)
    raise TimeoutError(subject)


def test_provisioning_again_changes_nothing(spare_stack: ThreadedStack) -> None:
    """A second run finds everything right and says nothing."""
    settings = spare_stack.settings("operator")
    provision_bucket(settings, notify=False)
    assert provision_bucket(settings, notify=False) == []


def test_drift_is_reported_and_repaired(spare_stack: ThreadedStack) -> None:
    """What somebody changed by hand is put right, and the report names what was found."""
    settings = spare_stack.settings("operator")
    provision_bucket(settings, notify=False)
    client = admin_client(settings)
    client.set_bucket_versioning(bucket_name=settings.bucket, config=VersioningConfig(status=SUSPENDED))
    client.delete_bucket_lifecycle(bucket_name=settings.bucket)
    versioning, lifecycle = provision_bucket(settings, notify=False)
    assert "Suspended" in versioning
    assert "was nothing" in lifecycle
    assert client.get_bucket_versioning(bucket_name=settings.bucket).status == ENABLED
