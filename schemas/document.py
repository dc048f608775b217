"""A media's document: a fold over its events, so that any order, any repetition and any number of writers agree.

The document is a map of cells, part (a function, a product, a version) → the best event, plus tombstones; everything
else in it is computed from those. Best is a total order, so folding is commutative, associative and idempotent.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.catalog import looks, searchable
from schemas.events import BY_TYPE, EVENTS, TRANSIENT

_NAMES = {kind: model.event for kind, model in BY_TYPE.items()}

CloudEvent = dict[str, Any]
"""An envelope as JSON: id, type, source, subject, time, run, part, lane …, data."""

FAILURES = frozenset({"rejected", "failed", "skipped"})
_REFUSALS = frozenset({"rejected", "failed"})
OUTCOMES = frozenset({"done", "skipped", "failed"})
OF_PRODUCTS = frozenset({"planned", "done", "skipped", "playable"})
TOMBSTONES = ("quarantined", "deleted")
TERMINAL_STATES = frozenset({"ready", "rejected", "quarantined", "failed", "abandoned", "deleted"})
KEPT_LOSERS = 32
"""A form can overwrite its key thousands of times until it expires, and a document in MongoDB has 16 MiB at most."""

_LOSER = re.compile(r"(discard-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The part of what is said of a version that lost: its id."""

STATES = ("pending", "uploaded", "processing", *sorted(TERMINAL_STATES))


def event_name(event: Mapping[str, Any]) -> str:
    """`scanned` for `tidegate.media.scanned.v1`, also for events of versions and functions not known here."""
    kind: str = event["type"]
    return _NAMES.get(kind) or kind.split(".")[-2]


def canonical(value: object) -> bytes:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def outranks(event: CloudEvent, other: CloudEvent) -> bool:
    """Whether `event` is the better of two for one cell: later run, success over failure, greater id, then its text.

    The last matters when a function ran twice on one input: the two events share an id and differ in their time.
    """
    mine, theirs = _rank(event), _rank(other)
    return mine > theirs or (mine == theirs and canonical(event) > canonical(other))


def _rank(event: CloudEvent) -> tuple[str, bool, str]:
    return event["run"], event_name(event) not in FAILURES, event["id"]


@dataclass(slots=True)
class Fold:
    """The cells and tombstones of one media."""

    media_id: str
    cells: dict[str, CloudEvent] = field(default_factory=dict[str, CloudEvent])
    tombstones: dict[str, CloudEvent] = field(default_factory=dict[str, CloudEvent])
    _text: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, media_id: str, events: Iterable[CloudEvent]) -> "Fold":
        """Fold events of one media, in any order."""
        fold = cls(media_id)
        for event in events:
            fold.add(event)
        return fold

    @classmethod
    def parse(cls, text: str | bytes) -> "Fold":
        """The fold inside a stored document or record."""
        stored = json.loads(text)
        kept = text.encode() if isinstance(text, str) else text
        return cls(stored["media_id"], stored["cells"], stored["tombstones"], kept)

    def text(self) -> bytes:
        """What is stored: canonical, so equal folds are equal bytes."""
        if self._text is None:
            self._text = canonical({"media_id": self.media_id, "cells": self.cells, "tombstones": self.tombstones})
        return self._text

    def add(self, event: CloudEvent) -> bool:
        """Take one event in; False if it changed nothing."""
        name = event_name(event)
        if name in TRANSIENT:
            # A video of twelve hours has hundreds of pieces, each with all that is known: no document could hold them.
            return False
        cells, key = (self.tombstones, name) if name in TOMBSTONES else (self.cells, event["part"])
        known = cells.get(key)
        if known is not None and not outranks(event, known):
            return False
        cells[key] = event
        self._text = None
        return not self._crowded_out(key)

    def _crowded_out(self, key: str) -> bool:
        """Keep a bounded number of versions that lost, the same ones in any order; whether `key` was one too many."""
        loser = _LOSER.fullmatch(key)
        if loser is None:
            return False
        alike = [part for part in self.cells if (other := _LOSER.fullmatch(part)) and other[1] == loser[1]]
        if len(alike) <= KEPT_LOSERS:
            return False
        last = max(alike)
        del self.cells[last]
        return last == key

    def merge(self, other: "Fold") -> bool:
        """Take in all that another fold of the same media knows; False if that was nothing new."""
        changed = [self.add(event) for event in other.events()]
        return any(changed)

    def events(self) -> list[CloudEvent]:
        """The best event of each cell and the tombstones, oldest first."""
        return sorted([*self.cells.values(), *self.tombstones.values()], key=lambda event: (event["time"], event["id"]))

    def named(self, *names: str) -> CloudEvent | None:
        """The newest run's event of one of these names, if any cell holds one."""
        found = [event for event in self.cells.values() if event_name(event) in names]
        return max(found, key=_rank, default=None)

    def state(self) -> str:
        """Where the media is: one of `STATES`."""
        for tombstone in reversed(TOMBSTONES):
            if tombstone in self.tombstones:
                return tombstone
        if self.named("promoted"):
            # The file is in permanent/: an earlier function's later failure (a replay's) doesn't take it back.
            promised = self._promised()
            if any(_spoils_promoted(event, promised) for event in self.cells.values()):
                return "failed"
            return "ready" if self.named("ready") else "processing"
        if ends := [event for event in self.cells.values() if event_name(event) in _REFUSALS]:
            # The newest run's word; within a run a refusal, since it takes the bytes that a retry would need.
            return max((event["run"], event_name(event)) for event in ends)[1]
        if self.named("identified", "scanned", "probed"):
            return "processing"
        for name, state in (("uploaded", "uploaded"), ("abandoned", "abandoned")):
            if self.named(name):
                return state
        return "pending"

    def products(self) -> dict[str, CloudEvent | None]:
        """How far each promised product is: its `done`, `skipped` or `failed`; None: it is being made."""
        outcomes: dict[str, CloudEvent | None] = {}
        for name in self._promised():
            cell = self.cells.get(name)
            outcomes[name] = cell if cell and event_name(cell) in OUTCOMES else None
        return outcomes

    def _promised(self) -> list[str]:
        promoted = self.named("promoted")
        promised: list[dict[str, Any]] = promoted["data"].get("products", []) if promoted else []
        return [product["name"] for product in promised]

    def digest(self) -> str:
        """A fingerprint of everything folded in."""
        return hashlib.sha256(self.text()).hexdigest()

    def known(self) -> dict[str, Any]:
        """All that the events say of the media, the newest word on each thing.

        What somebody else's event calls `verdict` is none: only events of this schema count, of whatever version.
        """
        known: dict[str, Any] = {}
        for event in self.events():
            if event_name(event) in EVENTS and event_name(event) not in OF_PRODUCTS:
                known |= event["data"]
        if "gateway" in self.cells:
            known["media"] = self.cells["gateway"]["data"]["media"]
        return known

    def perceptual_hash(self) -> str | None:
        """How the picture looks; None: nobody said, or it is gone."""
        described = self.cells.get("description")
        if self.tombstones or described is None or event_name(described) != "done":
            return None
        description: dict[str, Any] = described["data"].get("description") or {}
        return description.get("perceptual_hash")

    def _looks(self) -> dict[str, Any]:
        perceptual_hash = self.perceptual_hash()
        return {"perceptual_hash": perceptual_hash, "looks": looks(perceptual_hash)} if perceptual_hash else {}

    def document(self) -> dict[str, Any]:
        """What MongoDB holds: the fold as text, and what is computed from it for queries and listings.

        Fold and media are text because a client's context may hold what BSON can't: NUL in a name, integers beyond 64
        bits.
        """
        text = self.text()
        known = self.known()
        media: dict[str, Any] = known.get("media", {})
        identity: dict[str, Any] = known.get("identity") or {}
        events = self.events()
        state = self.state()
        rejected = self.named("rejected") if state == "rejected" else None
        return {
            "_id": self.media_id,
            "fold": text.decode(),
            "digest": hashlib.sha256(text).hexdigest(),
            "state": state,
            **searchable(media),
            "kind": identity.get("kind", "unknown"),
            "content_type": identity.get("content_type"),
            "code": rejected["data"].get("code") if rejected else None,
            **self._looks(),
            "media": canonical(media).decode(),
            "requested_at": media.get("requested_at"),
            "updated_at": events[-1]["time"] if events else None,
        }


_SPOILING = frozenset({"failed", "skipped"})
PIPELINE = frozenset({"receive", "identify", "scan", "probe", "promote"})


def _spoils_promoted(event: CloudEvent, promised: Collection[str]) -> bool:
    data: dict[str, Any] = event["data"]
    if event_name(event) not in _SPOILING or not data.get("required", True) or event["part"] in PIPELINE:
        return False
    # What a later profile doesn't promise any more, or by another name, is of no use to anybody.
    products: list[str] = [data["product"]] if "product" in data else list(data.get("products") or ())
    return not products or any(product in promised for product in products)
