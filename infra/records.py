"""`records/<media_id>.json`: the fold of a media that ended, kept beside its bytes, longer than any stream."""

from infra.errors import Gone, PreconditionFailed
from infra.objects import Objects
from schemas.document import Fold
from schemas.objects import ObjectRef
from schemas.subjects import record_key

JSON = "application/json"
LARGEST = 8 * 1024 * 1024


async def merge_record(objects: Objects, fold: Fold) -> None:
    """Merge a fold into its record: nobody's writing is lost, whoever else writes.

    Raises:
        DependencyDown: MinIO is away.
    """
    key = record_key(fold.media_id)
    try:
        # Nearly always the first: one write and no read.
        await objects.put(key, fold.text(), content_type=JSON, if_none_match=True)
    except PreconditionFailed:
        pass
    else:
        return None
    while True:
        info = await objects.head(key)
        if info is None:
            return await merge_record(objects, fold)
        known = await read_record(objects, fold.media_id)
        merged = known or Fold(fold.media_id)
        if known is not None and not merged.merge(fold):
            return None
        try:
            await objects.put(key, merged.text(), content_type=JSON, if_match=info.etag)
        except PreconditionFailed:
            continue
        return None


async def read_record(objects: Objects, media_id: str) -> Fold | None:
    """The record's fold, None if there is none.

    Raises:
        DependencyDown: MinIO is away.
    """
    ref = ObjectRef(bucket=objects.bucket, key=record_key(media_id), size=0)
    try:
        return Fold.parse(await objects.get(ref, at_most=LARGEST))
    except Gone:
        return None
