"""The one bucket: versions under temp/ alone, notifications to two targets, and scratch that expires."""

from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig
from minio.versioningconfig import VersioningConfig

from infra.settings import Settings

NOTIFICATION_TARGETS = ("FAST", "DURABLE")
# `s3:ObjectCreated:*` would also announce changed tags and legal holds.
NOTIFIED_EVENTS = ("s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:CompleteMultipartUpload")
# Only under temp/ can a stranger overwrite; elsewhere versions would keep what was deleted.
UNVERSIONED_PREFIXES = ("permanent/", "records/", "work/", "quarantine/")
WORK_EXPIRES_DAYS = 7


def provision_bucket(settings: Settings, *, notify: bool = True) -> list[str]:
    """Make the bucket what it should be; blocking, and safe to repeat.

    The stream that takes the notifications must exist first: MinIO's queued target retries one refused event for
    ever, the other loses it.

    Args:
        settings: With the operator's MinIO credentials.
        notify: Whether uploads are announced; `False` removes the notifications, as a benchmark or a test wants.

    Returns:
        One line for everything created or changed, naming what was found instead; empty when all was right.

    Raises:
        minio.error.S3Error: MinIO refused.
        urllib3.exceptions.HTTPError: MinIO did not answer.
    """
    client = admin_client(settings)
    done: list[str] = []
    if not client.bucket_exists(bucket_name=settings.bucket):
        client.make_bucket(bucket_name=settings.bucket, location=settings.minio_region)
        done.append(f"bucket {settings.bucket}: created")
    for line in (
        _versioning(client, settings.bucket),
        _lifecycle(client, settings.bucket),
        _notification(client, settings, notify=notify),
    ):
        done += [f"bucket {settings.bucket}: {line}"] if line else []
    return done


def admin_client(settings: Settings) -> Minio:
    """The minio SDK's client, for what is rare: buckets, policies, notifications. It blocks."""
    url = urlsplit(settings.minio_url)
    return Minio(
        endpoint=url.netloc,
        access_key=settings.minio_access_key,
        secret_key=settings.minio_secret_key.get_secret_value(),
        secure=url.scheme == "https",
        region=settings.minio_region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5, read=30),
            retries=urllib3.Retry(3, backoff_factor=0.2, respect_retry_after_header=False),
        ),
    )


def notification_arns(region: str) -> list[str]:
    """The names of the two targets, as MinIO's bucket configuration wants them."""
    return [f"arn:minio:sqs:{region}:{target}:nats" for target in NOTIFICATION_TARGETS]


def _versioning(client: Minio, bucket: str) -> str:
    found = client.get_bucket_versioning(bucket_name=bucket)
    excluded = found.excluded_prefixes or []
    if found.status == ENABLED and sorted(excluded) == sorted(UNVERSIONED_PREFIXES) and not found.exclude_folders:
        return ""
    wanted = VersioningConfig(status=ENABLED, excluded_prefixes=list(UNVERSIONED_PREFIXES))
    client.set_bucket_versioning(bucket_name=bucket, config=wanted)
    return f"versioning set (was {found.status_string}, excluded: {', '.join(excluded) or 'nothing'})"


def _lifecycle(client: Minio, bucket: str) -> str:
    found = client.get_bucket_lifecycle(bucket_name=bucket)
    rules = [
        (rule.rule_filter.prefix if rule.rule_filter else None, rule.expiration.days if rule.expiration else None)
        for rule in (found.rules if found else [])
        if rule.status == ENABLED
    ]
    if rules == [("work/", WORK_EXPIRES_DAYS)]:
        return ""
    rule = Rule(
        status=ENABLED,
        rule_id="expire-work",
        rule_filter=Filter(prefix="work/"),
        expiration=Expiration(days=WORK_EXPIRES_DAYS),
    )
    client.set_bucket_lifecycle(bucket_name=bucket, config=LifecycleConfig([rule]))
    return f"lifecycle set (was {rules or 'nothing'})"


def _notification(client: Minio, settings: Settings, *, notify: bool) -> str:
    found = sorted(
        (
            config.queue or "",
            config.prefix_filter_rule.value if config.prefix_filter_rule else "",
            sorted(config.events),
        )
        for config in client.get_bucket_notification(bucket_name=settings.bucket).queue_config_list or []
    )
    arns = notification_arns(settings.minio_region) if notify else []
    if found == sorted((arn, "temp/", sorted(NOTIFIED_EVENTS)) for arn in arns):
        return ""
    wanted = NotificationConfig(
        queue_config_list=[
            QueueConfig(events=list(NOTIFIED_EVENTS), queue=arn, prefix_filter_rule=PrefixFilterRule("temp/"))
            for arn in arns
        ]
    )
    try:
        client.set_bucket_notification(bucket_name=settings.bucket, config=wanted)
    except S3Error as refusal:
        if "ARN" in (refusal.message or ""):
            raise NotificationTargetsMissing(
                f"MinIO at {settings.minio_url} has no NATS targets FAST and DURABLE ({', '.join(arns)}): set "
                "MINIO_NOTIFY_NATS_*, and start it when NATS is up: one target that fails disables all"
            ) from refusal
        raise
    return f"notifications set (was {[queue for queue, _, _ in found] or 'none'})"


class NotificationTargetsMissing(Exception):
    """MinIO was started without the notification targets; the message says how to start it."""
