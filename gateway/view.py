"""A media as its owner sees it: a pure function of what was found."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from gateway.links import Links, shown
from gateway.lookup import Found
from gateway.offered import ORIGINAL
from gateway.services import Services
from infra.tokens import Claims
from schemas.api import (
    SCANNED_WITH_OLD,
    TEST_SIGNATURES,
    UNMADE,
    DeclaredMedia,
    Failure,
    MediaStatus,
    Original,
    Rejection,
    Step,
    VerdictView,
)
from schemas.document import FAILURES, TOMBSTONES, CloudEvent, Fold, event_name
from schemas.media import Identity
from schemas.products import made, product_states
from schemas.waiting import unmade


def status(found: Found, claims: Claims, at: Services, waits_for: Iterable[str]) -> MediaStatus:
    """Where the media is, what happened so far, and what it waits for."""
    fold = found.fold
    announced = [] if fold.tombstones else made(fold)
    links = Links.of(at, fold, claims, announced) if claims.may("read") and not fold.tombstones else None
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
            "original": _original(fold, links),
            "products": () if fold.tombstones else product_states(fold),
            **shown(announced, links),
            "rejection": Rejection.model_validate(rejected["data"]) if rejected else None,
            "failures": [
                Failure.model_validate(event["data"]) for event in fold.cells.values() if event_name(event) == "failed"
            ],
            "history": [_step(event) for event in events],
            "waits_for": tuple(waits_for),
            "warnings": [
                *([found.gap] if found.gap else []),
                *([TEST_SIGNATURES] if verdict and verdict.test_signatures else []),
                *(UNMADE.format(product=product) for product in unmade(fold, at.takers)),
                *_old_signatures(fold, verdict, at.settings.signatures_max_age_days),
            ],
        }
    )


def in_order(found: Found) -> list[CloudEvent]:
    """Every event seen, oldest first."""
    return sorted(found.events.values(), key=lambda event: (event["time"], event["id"]))


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


def _original(fold: Fold, links: Links | None) -> Original | None:
    promoted = fold.named("promoted")
    if promoted is None or fold.tombstones:
        return None
    return Original.model_validate(promoted["data"]["original"] | (links.file(ORIGINAL) if links else {}))


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
