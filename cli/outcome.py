"""What became of a media, in one line: state, why, where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.document import TERMINAL_STATES, Fold
from schemas.products import ProductState, product_states
from schemas.subjects import quarantine_key, temp_key


@dataclass(frozen=True, slots=True)
class Outcome:
    """A media as far as its events tell.

    Attributes:
        state: One of `schemas.document.STATES`.
        why: A sentence for people.
        where: The object's key; empty if there is none.
        code: Of a rejection.
        products: What became of each product, where one is promised.
    """

    state: str
    why: str
    where: str
    code: str | None = None
    products: tuple[ProductState, ...] = ()

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in TERMINAL_STATES


def outcome(fold: Fold) -> Outcome:
    """Read it from the events."""
    state, known = fold.state(), fold.known()
    promoted, products = fold.named("promoted"), product_states(fold)
    original = promoted["data"]["original"]["key"] if promoted else ""
    match state:
        case "ready":
            return Outcome(state, f"{_described(known)}{_without(products)}", original, products=products)
        case "rejected":
            data = _data(fold, "rejected")
            return Outcome(state, f"{data['code']}: {data['reason']}", "", data["code"])
        case "quarantined":
            verdict = fold.tombstones["quarantined"]["data"]["verdict"]
            return Outcome(state, f"ClamAV found {verdict.get('signature')}", quarantine_key(fold.media_id))
        case "failed" if spoiled := _spoiled(products):
            return Outcome(state, _missing(spoiled, fold), original, products=products)
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
            return Outcome(state, _described(known), original or temp_key(fold.media_id), products=products)


def said_of(product: ProductState) -> str:
    """What became of a product, and why."""
    reason = ": ".join(word for word in (product.code, product.reason) if word)
    return f"{product.state}: {reason}" if reason else product.state


def _spoiled(products: Sequence[ProductState]) -> ProductState | None:
    """The required product without which the media is of no use."""
    return next((each for each in products if each.required and each.state in {"skipped", "failed"}), None)


def _missing(product: ProductState, fold: Fold) -> str:
    cell = fold.cells[product.name]["data"]
    letter = f"; `tidegate dead show {cell['dead_letter']}`" if cell.get("dead_letter") else ""
    by = f" ({cell['function']} gave up)" if product.state == "failed" else ""
    return f"without {product.name}, which is required{by}: {said_of(product)}{letter}"


def _without(products: Sequence[ProductState]) -> str:
    """The optional products that a media is ready without."""
    return "".join(
        f"; without {each.name} ({said_of(each)})" for each in products if each.state in {"skipped", "failed"}
    )


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
