"""A media as its owner sees it: a pure function of what was found."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.lookup import Found
from gateway.services import Services, WaitsFor
from infra.tokens import Claims
from schemas.api import (
    SCANNED_WITH_OLD,
    TEST_SIGNATURES,
    DeclaredMedia,
    Failure,
    MediaStatus,
    Original,
    Rejection,
    Step,
    VerdictView,
)
from schemas.document import FAILURES, TERMINAL_STATES, TOMBSTONES, CloudEvent, Fold, event_name
from schemas.media import Identity

URL_SECONDS: Final = 300


def status(found: Found, claims: Claims, at: Services) -> MediaStatus:
    """Where the media is, what happened so far, and what it waits for."""
    fold = found.fold
    known = fold.known()
    state = fold.state()
    events = in_order(found)
    verdict = _verdict(fold, known)
    identity = Identity.model_validate(known["identity"]) if known.get("identity") else None
    rejected = fold.named("rejected") if state == "rejected" else None
    return MediaStatus.model_validate(
        {
            "media_id": fold.media_id,
            "state": state,
            "lane": events[-1]["lane"],
            "media": DeclaredMedia.model_validate(known["media"]),
            "identity": identity,
            "verdict": verdict,
            "probe": known.get("probe"),
            "original": None if set(fold.tombstones) else _original(fold, known, identity, claims, at),
            "rejection": Rejection.model_validate(rejected["data"]) if rejected else None,
            "failures": [
                Failure.model_validate(event["data"]) for event in fold.cells.values() if event_name(event) == "failed"
            ],
            "history": [_step(event) for event in events],
            "waits_for": waits_for(state, events, at.waits_for),
            "warnings": [
                *([found.gap] if found.gap else []),
                *([TEST_SIGNATURES] if verdict and verdict.test_signatures else []),
                *_old_signatures(fold, verdict, at.settings.signatures_max_age_days),
            ],
        }
    )


def in_order(found: Found) -> list[CloudEvent]:
    """Every event seen, oldest first."""
    return sorted(found.events.values(), key=lambda event: (event["time"], event["id"]))


def waits_for(state: str, events: list[CloudEvent], takers: WaitsFor) -> list[str]:
    """The functions that take the newest event that anybody still has to answer."""
    if state in TERMINAL_STATES:
        return []
    answers = {(event.get("causationid"), function_of(event)) for event in events}
    for event in reversed(events):
        waiting = [name for name in takers(event_name(event)) if (event["id"], name) not in answers]
        if waiting and not (waiting == ["client"] and state != "pending"):
            return waiting
    return []


def function_of(event: CloudEvent) -> str:
    """Who said it: `scan` for `/functions/scan`."""
    return event["source"].rpartition("/")[2]


def is_test(label: str) -> bool:
    """Whether a label of signatures says that they are no real ones."""
    return "test" in label.lower()


def _verdict(fold: Fold, known: dict[str, Any]) -> VerdictView | None:
    tombstone = fold.tombstones.get(TOMBSTONES[0])
    verdict = (tombstone["data"] if tombstone else known).get("verdict")
    if not verdict:
        return None
    return VerdictView.model_validate({**verdict, "test_signatures": is_test(verdict["signatures"])})


def _old_signatures(fold: Fold, verdict: VerdictView | None, most_days: float) -> list[str]:
    """Whether the signatures were old when the file was scanned; that they are by now is no wonder."""
    judged = fold.tombstones.get(TOMBSTONES[0]) or fold.cells.get("scan")
    if not verdict or not verdict.signatures_at or not judged:
        return []
    days = (datetime.fromisoformat(judged["time"]) - verdict.signatures_at).days
    return [SCANNED_WITH_OLD.format(days=days)] if days > most_days else []


def _original(
    fold: Fold, known: dict[str, Any], identity: Identity | None, claims: Claims, at: Services
) -> Original | None:
    promoted = fold.named("promoted")
    if promoted is None:
        return None
    original = promoted["data"]["original"]
    if not claims.may("read"):
        return Original.model_validate(original)
    now = datetime.now(UTC)
    url = at.downloads.presign_get(
        original["key"],
        expires=URL_SECONDS,
        file_name=known["media"]["filename"],
        content_type=identity.content_type if identity else None,
        now=now,
    )
    return Original.model_validate(
        {**original, "url": url, "url_expires_at": now.replace(microsecond=0) + timedelta(seconds=URL_SECONDS)}
    )


def _step(event: CloudEvent) -> Step:
    name, data = event_name(event), event["data"]
    return Step(
        time=datetime.fromisoformat(event["time"]),
        event=name,
        function=function_of(event),
        run=event["run"],
        code=data.get("code") if name in FAILURES else None,
        reason=(data.get("reason") or data.get("error")) if name in FAILURES else None,
    )
