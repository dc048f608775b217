"""Provisioning the bucket: what it makes, what it reports, and that notifications arrive."""

import asyncio
import io
import json
import time

from minio.commonconfig import ENABLED
from minio.versioningconfig import SUSPENDED, VersioningConfig

from infra.bucket import admin_client, provision_bucket
from infra.local.threaded import ThreadedStack
from tests.infra.local.on_nats import OnNats, on_nats


async def test_each_upload_is_announced_twice(spare_stack: ThreadedStack) -> None:
    """An object under temp/ is announced by the fast and by the durable target; others are not."""
    settings = spare_stack.settings("operator")
    async with on_nats(spare_stack, "operator") as operator:
        await operator.ask("STREAM.CREATE.UPLOADS", {"name": "UPLOADS", "subjects": ["minio.>"], "allow_direct": True})
        await asyncio.to_thread(provision_bucket, settings)
        client = admin_client(settings)
        versions = {
            key: client.put_object(
                bucket_name=settings.bucket, object_name=key, data=io.BytesIO(b"x"), length=1
            ).version_id
            for key in ("records/silent", "temp/announced")
        }
        for subject in ("minio.fast", "minio.durable"):
            record = (await arrived(operator, subject))["Records"][0]["s3"]["object"]
            assert (record["key"], record["versionId"]) == ("temp%2Fannounced", versions["temp/announced"])
        assert (await operator.ask("STREAM.INFO.UPLOADS"))["state"]["messages"] == 2
        await asyncio.to_thread(provision_bucket, settings, notify=False)
        await operator.ask("STREAM.DELETE.UPLOADS")


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
