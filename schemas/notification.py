"""MinIO's bucket notification, as far as Tidegate reads it.

Source: the S3 event message structure, as MinIO publishes it to NATS
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
"""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote_plus, unquote_plus

from pydantic import Field

from schemas.model import Model


class Bucket(Model):
    """`s3.bucket`."""

    name: str


class ObjectFacts(Model):
    """`s3.object`; the key is query-escaped."""

    key: str
    size: int = 0
    etag: Annotated[str, Field(alias="eTag")] = ""
    version_id: Annotated[str, Field(alias="versionId")] = ""


class S3(Model):
    """`s3`."""

    bucket: Bucket
    object: ObjectFacts


class Record(Model):
    """One object created."""

    event_time: Annotated[datetime, Field(alias="eventTime")]
    s3: S3


class Notification(Model):
    """One object created, with its key unescaped."""

    bucket: str
    key: str
    version_id: str
    size: int
    time: datetime

    @classmethod
    def parse(cls, payload: bytes) -> "Notification":
        """Read what MinIO (or sweep) published.

        Raises:
            ValueError: it isn't a notification of one object.
        """
        message = _Message.model_validate_json(payload)
        if len(message.records) != 1:
            raise ValueError(f"a notification has one record, this one {len(message.records)}")
        record = message.records[0]
        return cls(
            bucket=record.s3.bucket.name,
            key=unquote_plus(record.s3.object.key),
            version_id=record.s3.object.version_id,
            size=record.s3.object.size,
            time=record.event_time,
        )

    def payload(self) -> bytes:
        """The same as MinIO would publish it, for objects that nobody announced."""
        facts = ObjectFacts.model_construct(
            key=quote_plus(self.key, safe="/"), size=self.size, version_id=self.version_id
        )
        record = Record.model_construct(
            event_time=self.time, s3=S3.model_construct(bucket=Bucket(name=self.bucket), object=facts)
        )
        return _Message.model_construct(records=[record]).model_dump_json(by_alias=True).encode()


class _Message(Model):
    records: Annotated[list[Record], Field(alias="Records")]
