"""What became of each product of a media, and the files that there are: pure functions of its fold."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError

from schemas.document import OUTCOMES, CloudEvent, Fold, event_name
from schemas.events import Done, Playable
from schemas.model import Token
from schemas.renditions import Description, Rendition

HLS: Final = "master.m3u8"
DASH: Final = "manifest.mpd"
_PART: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\.(m4s|mp4|m3u8|mpd)")
"""What may lie in a stream's folder beside what its event names: thousands of segments don't fit into an event."""


class ProductState(BaseModel):
    """How far one product is."""

    name: Token
    required: bool = Field(description="Whether the media is of no use without it.")
    state: Literal["pending", "done", "skipped", "failed"] = Field(
        description="`skipped`: it can't be made of this file; `failed`: a function gave up, which operators retry."
    )
    code: str | None = Field(default=None, description="Why it was skipped or failed.")
    reason: str | None = Field(default=None, description="The same as a sentence.")


@dataclass(frozen=True, slots=True)
class Made:
    """What one event announced.

    Attributes:
        product: Of which product it is; none: a video that can be played before its stream is whole.
        renditions: Its files.
        description: What it says beside them.
    """

    product: str | None
    renditions: tuple[Rendition, ...]
    description: Description | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A folder that players can begin with.

    Attributes:
        folder: Its name below `permanent/<media_id>/`.
        hls: Whether it has a master playlist.
        dash: Whether it has a manifest.
        seconds: How long it plays, as far as is known.
    """

    folder: str
    hls: bool
    dash: bool
    seconds: float

    def has(self, file: str) -> bool:
        """Whether a name is one of its files', playlists included."""
        return _PART.fullmatch(file) is not None


def product_states(fold: Fold) -> tuple[ProductState, ...]:
    """How far each product is: those that were promised, then what was made beside them."""
    promoted = fold.named("promoted")
    listed: list[dict[str, Any]] = promoted["data"].get("products", []) if promoted else []
    required = {str(each["name"]): bool(each["required"]) for each in listed}
    promised = fold.products()
    beside = [
        part
        for part, event in sorted(fold.cells.items())
        if part not in promised and event_name(event) in OUTCOMES and event["data"].get("product") == part
    ]
    outcomes = promised | {part: fold.cells[part] for part in beside}
    return tuple(_state(name, event, required=required.get(name, False)) for name, event in outcomes.items())


def _state(name: str, event: CloudEvent | None, *, required: bool) -> ProductState:
    if event is None:
        return ProductState(name=name, required=required, state="pending")
    said, data = event_name(event), event["data"]
    if said == "done":
        return ProductState(name=name, required=required, state="done")
    return ProductState(
        name=name,
        required=required,
        state="skipped" if said == "skipped" else "failed",
        code=data.get("code"),
        reason=data.get("reason") or data.get("error"),
    )


def open_products(fold: Fold) -> frozenset[str]:
    """The promised products that nobody has ended."""
    return frozenset(name for name, outcome in fold.products().items() if outcome is None)


def made(fold: Fold) -> list[Made]:
    """What products' events announce, oldest first; what a stranger's function says wrongly is left out."""
    return list(_made(fold))


def _made(fold: Fold) -> Iterator[Made]:
    for event in fold.events():
        try:
            match event_name(event):
                case "done":
                    done = Done.model_validate(event["data"])
                    yield Made(done.product, done.renditions, done.description)
                case "playable":
                    yield Made(None, Playable.model_validate(event["data"]).renditions)
                case _:
                    pass
        except ValidationError:
            continue


def files(announced: Sequence[Made]) -> dict[str, Rendition]:
    """Every file that is listed, by its name; of two words on one file the newer."""
    return {rendition.name: rendition for each in announced for rendition in each.renditions}


def streams(announced: Sequence[Made]) -> list[Stream]:
    """The folders that players can begin with: whole ones first, then what could be played before."""
    found: dict[str, Stream] = {}
    for each in sorted(announced, key=lambda each: each.product is None):
        names = {rendition.name: rendition for rendition in each.renditions}
        for folder in sorted({name.partition("/")[0] for name in names if name.endswith((f"/{HLS}", f"/{DASH}"))}):
            parts = [names.get(f"{folder}/{entry}") for entry in (HLS, DASH)]
            seconds = max((part.duration_seconds or 0 for part in names.values()), default=0)
            found.setdefault(folder, Stream(folder, parts[0] is not None, parts[1] is not None, seconds))
    return list(found.values())
