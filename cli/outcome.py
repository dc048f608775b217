"""What became of a media, in one line: state, why, where."""

from dataclasses import dataclass
from typing import Any

from schemas.document import TERMINAL_STATES, Fold
from schemas.subjects import quarantine_key, temp_key


@dataclass(frozen=True, slots=True)
class Outcome:
    """A media as far as its events tell.

    Attributes:
        state: One of `schemas.document.STATES`.
        why: A sentence for people.
        where: The object's key; empty if there is none.
        code: Of a rejection.
    """

    state: str
    why: str
    where: str
    code: str | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in TERMINAL_STATES


def outcome(fold: Fold) -> Outcome:
    """Read it from the events."""
    state, known = fold.state(), fold.known()
    promoted = fold.named("promoted")
    original = promoted["data"]["original"]["key"] if promoted else ""
    match state:
        case "ready":
            return Outcome(state, _described(known), original)
        case "rejected":
            data = _data(fold, "rejected")
            return Outcome(state, f"{data['code']}: {data['reason']}", "", data["code"])
        case "quarantined":
            verdict = fold.tombstones["quarantined"]["data"]["verdict"]
            return Outcome(state, f"ClamAV found {verdict.get('signature')}", quarantine_key(fold.media_id))
        case "failed":
            data = _data(fold, "failed")
            letter = f"; `tidegate dead show {data['dead_letter']}`" if data.get("dead_letter") else ""
            return Outcome(state, f"{data['function']} gave up: {data['error']}{letter}", original)
        case "deleted":
            by = fold.tombstones["deleted"]["data"].get("deleted_by")
            return Outcome(state, f"by {by}", "")
        case "abandoned":
            return Outcome(state, "the upload never came", "")
        case "pending":
            return Outcome(state, "waits for its upload", "")
        case _:
            return Outcome(state, _described(known), original or temp_key(fold.media_id))


def _data(fold: Fold, name: str) -> dict[str, Any]:
    event = fold.named(name)
    assert event is not None
    return event["data"]


def _described(known: dict[str, Any]) -> str:
    """Type, size and what was found inside, as far as known."""
    words: list[str] = []
    if identity := known.get("identity"):
        words.append(identity["content_type"])
    probe: dict[str, Any] = known.get("probe") or {}
    if (pages := probe.get("pages")) is not None:
        words.append(f"{pages} {'page' if pages == 1 else 'pages'}")
    if (verdict := known.get("verdict")) and verdict["status"] == "clean":
        words.append("clean")
    return ", ".join(words)
