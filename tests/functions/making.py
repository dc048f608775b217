"""Events for functions that a test calls itself, of objects that are really there."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from schemas.events import Identified, Probed, Scanned, Uploaded
from schemas.media import Identity, Media, Verdict
from schemas.objects import ObjectRef
from schemas.probe import TextProbe
from schemas.subjects import temp_key
from tests.system import System

PLAIN = Identity(kind="document", content_type="text/plain", extension="txt")


async def uploaded(system: System, body: bytes, content_type: str = "text/plain") -> Uploaded:
    """A file in temp/ and its event."""
    media_id = await system.upload(body, content_type)
    (entry,) = [entry async for entry in system.objects.list_versions(temp_key(media_id))]
    return Uploaded(
        media=Media(media_id=media_id, owner="alice", filename="file", content_type=content_type, size=len(body)),
        object=ObjectRef(
            bucket=system.settings.bucket, key=temp_key(media_id), version_id=entry.version_id, size=len(body)
        ),
        uploaded_at=datetime.now(UTC),
    )


async def identified(system: System, body: bytes, identity: Identity = PLAIN) -> Identified:
    """A file in temp/ that was identified."""
    return Identified.after(await uploaded(system, body, identity.content_type), identity=identity)


async def probed(system: System, body: bytes, **changes: Any) -> Probed:
    """A file in temp/ that was scanned and probed."""
    before = await identified(system, body)
    digest = hashlib.sha256(body).hexdigest()
    verdict = Verdict(status="clean", engine="ClamAV", signatures="test", bytes_scanned=len(body), sha256=digest)
    reference = before.object.model_copy(update={"sha256": digest, **changes})
    scanned = Scanned.after(before, object=reference, verdict=verdict)
    return Probed.after(scanned, probe=TextProbe(encoding="utf-8", lines=1))
