"""What nobody announced is announced, what never came is abandoned, what got stuck or stayed behind is given back.

With every notification lost, all files still arrive. Each pass goes in pages, keeps its place outside the function, and
asks the stream (and, when that no longer knows, the record) before it says anything.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from events.envelope import Envelope
from events.failpoints import failpoint
from events.invoke import Invoke
from events.registry import Because, Tick, function, registry
from infra.context import Context
from infra.listing import Entry
from infra.records import known_fold, read_record
from schemas.document import TERMINAL_STATES, TOMBSTONES, CloudEvent, event_name
from schemas.events import EVENTS, Abandoned, Requested
from schemas.notification import Notification
from schemas.subjects import happened, temp_key

CLOCK_SKEW = timedelta(minutes=1)
PAGE = 128
"""Four questions each: the stream answers 1,024 at once."""
TEMP = "temp/"
WAY = ("uploaded", "identified", "scanned", "probed", "promoted")

Outputs = AsyncIterator[Notification | Because[Abandoned] | Invoke]


@function(every=60, timeout=3600, announces_failure=False)
async def sweep(_tick: Tick, ctx: Context) -> Outputs:
    """Find objects without an event, requests without an object, files that stand still, and what should be gone."""
    async for notification in _unannounced(ctx):
        yield notification
    async for abandoned in _never_came(ctx):
        yield abandoned
    async for invoke in _stuck(ctx):
        yield invoke
    for tombstone in TOMBSTONES:
        async for invoke in _left_behind(tombstone, ctx):
            yield invoke


async def _unannounced(ctx: Context) -> AsyncGenerator[Notification]:
    place = await ctx.cursors.get("sweep.temp") or ""
    key, _, version = place.partition("\n")
    old = datetime.now(UTC) - timedelta(seconds=ctx.settings.sweep_min_age_seconds)
    page: list[Entry] = []
    async for entry in ctx.objects.list_versions(TEMP, key_marker=key, version_marker=version):
        page.append(entry)
        if len(page) == PAGE:
            for notification in await _missed(page, old, ctx):
                yield notification
            await _keep("sweep.temp", f"{entry.key}\n{entry.version_id}", ctx)
            page.clear()
    for notification in await _missed(page, old, ctx):
        yield notification
    if place or page:
        await _keep("sweep.temp", "", ctx)


async def _keep(cursor: str, place: str, ctx: Context) -> None:
    await ctx.cursors.put(cursor, place)
    failpoint("sweep.kept")


async def _missed(page: Sequence[Entry], old: datetime, ctx: Context) -> list[Notification]:
    """Of a page of temp/, the versions that no event knows."""
    # A client can have MinIO store any time (`X-Minio-Source-Mtime`): one that is yet to come makes no object young.
    future = datetime.now(UTC) + CLOCK_SKEW
    entries = [entry for entry in page if not old <= entry.last_modified <= future and not entry.is_delete_marker]
    # A listing has the newest version of a key first; the oldest has the best claim to be the media.
    entries.sort(key=lambda entry: (entry.key, entry.last_modified))
    if not entries:
        return []
    filters = [
        question
        for entry in entries
        for media_id in [entry.key.removeprefix(TEMP)]
        if _is_token(media_id)
        for question in (
            happened("uploaded", media_id),
            happened("rejected", media_id),
            happened("failed", media_id, "receive"),
            happened("overwritten", media_id, str(entry.version_id)),
        )
    ]
    told = await ctx.history.last(*dict.fromkeys(filters)) if filters else []
    known = {(event["data"]["object"]["key"], event["data"]["object"].get("version_id")) for event in told}
    return [
        Notification(
            bucket=ctx.settings.bucket,
            key=entry.key,
            version_id=str(entry.version_id),
            size=entry.size,
            time=entry.last_modified,
        )
        for entry in entries
        if (entry.key, entry.version_id) not in known and not await _recorded(entry, ctx)
    ]


async def _recorded(entry: Entry, ctx: Context) -> bool:
    """Whether the record knows this version: the stream forgets after its retention."""
    fold = await read_record(ctx.objects, entry.key.removeprefix(TEMP))
    if fold is None:
        return False
    objects: list[dict[str, str]] = [event["data"]["object"] for event in fold.events() if event["data"].get("object")]
    return any(known.get("version_id") == entry.version_id for known in objects)


async def _never_came(ctx: Context) -> AsyncGenerator[Because[Abandoned]]:
    start = await _after(await ctx.cursors.get("sweep.requested") or "", ctx)
    patience = timedelta(seconds=ctx.settings.abandoned_after_seconds)
    while page := await ctx.history.past("media.requested.>", start):
        overdue: list[tuple[Requested, CloudEvent]] = []
        for sequence, event in page:
            requested = Requested.model_validate(event["data"])
            if requested.expires_at + patience > datetime.now(UTC):
                break
            overdue.append((requested, event))
            start = sequence + 1
        if not overdue:
            return
        ids = [requested.media.media_id for requested, _ in overdue]
        came = await ctx.history.last(
            *(happened(name, media_id) for media_id in ids for name in ("uploaded", "abandoned", "deleted"))
        )
        ended = {event["subject"] for event in came}
        for requested, event in overdue:
            # An object that nobody announced yet is no upload that never came.
            if requested.media.media_id not in ended and not await _lies_there(requested, ctx):
                yield Because(Abandoned(media=requested.media), Envelope.model_validate(event))
        await _keep("sweep.requested", _place(start - 1, overdue[-1][1]), ctx)


async def _lies_there(requested: Requested, ctx: Context) -> bool:
    return await ctx.objects.head(temp_key(requested.media.media_id)) is not None


async def _stuck(ctx: Context) -> AsyncGenerator[Invoke]:
    """Give unfinished media back to the functions they wait for, once in a while."""
    patience = ctx.settings.stuck_after_seconds
    now = datetime.now(UTC)
    period = str(int(now.timestamp() // patience))
    place = await ctx.cursors.get("sweep.stuck") or ""
    known_period, _, place = place.partition(":")
    if known_period != period:
        place = ""
    start = await _after(place, ctx)
    while page := await ctx.history.past("media.uploaded.>", start):
        for sequence, event in page:
            if datetime.fromisoformat(event["time"]) > now - timedelta(seconds=patience):
                # Kept here as well, or the next pass would give the same ones back a minute later.
                await _keep("sweep.stuck", f"{period}:{place}", ctx)
                return
            start, place = sequence + 1, _place(sequence, event)
            for invoke in await _waiting(event["subject"], ctx):
                yield invoke
        await _keep("sweep.stuck", f"{period}:{place}", ctx)


async def _left_behind(tombstone: str, ctx: Context) -> AsyncGenerator[Invoke]:
    """Give a media that was removed to `discard` once more, if there is anything of it.

    Who is killed while it makes something of a media that is removed meanwhile finds nothing to go on with, and so says
    nothing that `discard` would hear.
    """
    cursor = f"sweep.{tombstone}"
    start = await _after(await ctx.cursors.get(cursor) or "", ctx)
    old = datetime.now(UTC) - timedelta(seconds=ctx.settings.stuck_after_seconds)
    while page := await ctx.history.past(f"media.{tombstone}.>", start):
        # Up to the first that is too young: an event is stored a little after its time, and so behind younger ones.
        removed = list(takewhile(lambda each: datetime.fromisoformat(each[1]["time"]) <= old, page))
        if not removed:
            return
        for _, event in removed:
            if await _is_anything_left(event["subject"], ctx):
                yield Invoke("discard", Envelope.model_validate(event))
        start = removed[-1][0] + 1
        await _keep(cursor, _place(*removed[-1]), ctx)


async def _is_anything_left(media_id: str, ctx: Context) -> bool:
    for place in ("permanent", "work"):
        async for _ in ctx.objects.list(f"{place}/{media_id}/"):
            return True
    return False


def _place(sequence: int, event: CloudEvent) -> str:
    return f"{sequence}:{event['id']}"


async def _after(place: str, ctx: Context) -> int:
    """The sequence after a kept place; 1 where MEDIA was made anew: the place is another event's then, or none."""
    sequence, _, event_id = place.partition(":")
    if not sequence:
        return 1
    page = await ctx.history.past("media.>", int(sequence))
    if not page:
        # Nothing from there on, not even what the place was kept for.
        return 1
    found, event = page[0]
    return 1 if found == int(sequence) and event["id"] != event_id else int(sequence) + 1


async def _waiting(media_id: str, ctx: Context) -> list[Invoke]:
    fold = await known_fold(media_id, ctx.history, ctx.objects)
    if fold.state() in TERMINAL_STATES:
        return []
    events = {event_name(event): event for event in fold.events()}
    furthest = next((name for name in reversed(WAY) if name in events), None)
    if furthest is None:
        return []
    envelope = Envelope.model_validate(events[furthest])
    kind = EVENTS[furthest].model_validate(envelope.data).known_kind()
    ended = {name for name, outcome in fold.products().items() if outcome is not None}
    return [
        Invoke(taker.name, envelope)
        for taker in registry.taking(EVENTS[furthest])
        if (not taker.kinds or kind in taker.kinds) and not ended.intersection(taker.products)
    ]


def _is_token(text: str) -> bool:
    """Whether a key's tail may stand in a subject: anything else nobody requested."""
    return bool(text) and not any(character in " .*>\t\r\n\0" for character in text)
