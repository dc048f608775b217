"""`records/<media_id>.json`: the fold of a media that ended, kept beside its bytes, longer than any stream."""

from infra.context import History
from infra.errors import Gone, PreconditionFailed
from infra.objects import Objects
from schemas.document import TERMINAL_STATES, Fold
from schemas.events import EVENTS, TRANSIENT
from schemas.objects import ObjectRef
from schemas.subjects import happened, record_key

DECISIVE = tuple(name for name in EVENTS if name not in TRANSIENT | {"overwritten", "discarded"})
"""The events that a media's state depends on, by name."""
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


async def known_fold(media_id: str, history: History, objects: Objects) -> Fold:
    """All that decides a media's state: what the stream says and, unless it has ended, what the record adds.

    The stream forgets after its retention. Versions that lost aren't asked for: a client can make thousands.

    Raises:
        DependencyDown: MinIO is away.
    """
    fold = Fold.of(media_id, await history.last(*(happened(name, media_id) for name in DECISIVE)))
    if fold.state() not in TERMINAL_STATES:
        fold.merge(await read_record(objects, media_id) or Fold(media_id))
    return fold


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
