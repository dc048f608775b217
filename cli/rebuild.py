"""`tidegate replay --rebuild`: MongoDB's documents, made anew from records/ and the stream.

The fold takes its events in any order and any number of times, so `record` may go on working meanwhile.
"""

import time
from collections.abc import AsyncGenerator
from pathlib import Path

from pydantic_core import from_json
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.connect import connected, objects_of, settings
from cli.output import emit, err, out
from events.bus import Bus
from infra.documents import Documents
from infra.objects import Objects
from infra.records import read_record
from schemas.document import CloudEvent, Fold

PREFIX, SUFFIX = "records/", ".json"
RECORDS_AT_ONCE = 100
EVENTS_AT_ONCE = 2000


async def rebuild(data: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Drop the collection and make it anew; only count with `dry_run`."""
    found = settings(data)
    documents = Documents.from_settings(found)
    begun = time.monotonic()
    records = events = 0
    try:
        async with connected(found, "rebuild") as bus, objects_of(found) as objects:
            # Everything answers before anything is dropped.
            await objects.alive()
            await bus.alive()
            before = await documents.count()
            if not dry_run:
                await documents.drop()
            with _progress(shown=not as_json) as progress:
                from_records = progress.add_task("records/", total=None)
                async for folds in _records(objects):
                    records += len(folds)
                    if not dry_run:
                        await fold_in(documents, folds)
                    progress.update(from_records, completed=records)
                progress.update(from_records, total=records)
                from_stream = progress.add_task("stream MEDIA", total=None)
                async for folds, count in _streamed(bus):
                    events += count
                    if not dry_run:
                        await fold_in(documents, folds)
                    progress.update(from_stream, completed=events)
                progress.update(from_stream, total=events)
            after = before if dry_run else await documents.count()
    finally:
        await documents.aclose()
    seconds = round(time.monotonic() - begun, 2)
    if as_json:
        emit({"records": records, "events": events, "documents": after, "before": before, "seconds": seconds})
    else:
        word = "would be made" if dry_run else "were made"
        text = (
            f"Documents {word} from {records} records and {events} events in {seconds} s: {before} before, {after} now."
        )
        out().print(Text(text, style="green"))
    return 0


async def fold_in(documents: Documents, folds: dict[str, Fold]) -> None:
    """Merge folds into their documents, again where somebody else wrote meanwhile.

    Raises:
        DependencyDown: MongoDB is away.
    """
    done = False
    while not done:
        stored = await documents.folds(folds)
        changed: dict[str, tuple[str | None, Fold]] = {}
        for media_id, fold in folds.items():
            known = stored.get(media_id)
            digest = known.digest() if known else None
            merged = known or Fold(media_id)
            merged.merge(fold)
            if merged.digest() != digest:
                changed[media_id] = (digest, merged)
        done = await documents.write(changed)


async def _records(objects: Objects) -> AsyncGenerator[dict[str, Fold]]:
    page: dict[str, Fold] = {}
    async for entry in objects.list(PREFIX):
        fold = await read_record(objects, entry.key.removeprefix(PREFIX).removesuffix(SUFFIX))
        if fold is not None:
            page[fold.media_id] = fold
        if len(page) == RECORDS_AT_ONCE:
            yield page
            page = {}
    if page:
        yield page


async def _streamed(bus: Bus) -> AsyncGenerator[tuple[dict[str, Fold], int]]:
    page: dict[str, Fold] = {}
    count = 0
    async for stored in bus.read("MEDIA", ["media.>"]):
        event: CloudEvent = from_json(stored.data)
        page.setdefault(event["subject"], Fold(event["subject"])).add(event)
        count += 1
        if count == EVENTS_AT_ONCE:
            yield page, count
            page, count = {}, 0
    if page:
        yield page, count


def _progress(*, shown: bool) -> Progress:
    return Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err(),
        transient=True,
        disable=not shown,
    )
