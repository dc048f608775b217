"""Which file a wish for a quality means, and in which format: `?quality=` and `Accept`."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from schemas.renditions import Quality, Rendition

QUALITIES: Final[tuple[Quality, ...]] = ("low", "standard", "high")
_FAMILY: Final = {"image": "image/", "document": "image/", "video": "video/", "audio": "audio/"}
# Smaller first, at the same look; whoever can show one says so.
_MODERN: Final = ("image/avif", "image/webp")
_ACCEPTED: Final = re.compile(r"\s*([A-Za-z0-9.+*-]+/[A-Za-z0-9.+*-]+)\s*((?:;[^,]*)?)")
_WEIGHT: Final = re.compile(r";\s*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)")
LONGEST_ACCEPT: Final = 1024


def choose(renditions: Iterable[Rendition], kind: str, wanted: Quality, accept: str | None) -> Rendition | None:
    """The file of this quality, or of the nearest lower one that there is, or else of the nearest higher.

    Args:
        renditions: All of the media's; those in folders are a player's, and the poster of a video is none of its files.
        kind: The media's.
        wanted: The quality.
        accept: The request's `Accept`.
    """
    family = _FAMILY.get(kind, "/")
    plain = [
        each for each in renditions if each.quality and "/" not in each.name and each.content_type.startswith(family)
    ]
    at = QUALITIES.index(wanted)
    for quality in (*reversed(QUALITIES[: at + 1]), *QUALITIES[at + 1 :]):
        if alike := [each for each in plain if each.quality == quality]:
            return _best(alike, accept)
    return None


def _best(alike: Sequence[Rendition], accept: str | None) -> Rendition:
    """Of the formats the client takes the one it likes most; newer ones only if it names them, as browsers do."""
    accepted = _weights(accept)

    def rank(rendition: Rendition) -> tuple[bool, float, int]:
        kind = rendition.content_type.partition(";")[0].strip().lower()
        named = accepted.get(kind)
        wild = accepted.get(f"{kind.partition('/')[0]}/*", accepted.get("*/*", 0.0))
        weight = wild if named is None else named
        modern = _MODERN.index(kind) if kind in _MODERN else len(_MODERN)
        # A wildcard alone is everybody's: curl's, or a mail program's that knows nothing newer than JPEG.
        return weight > 0, weight, (len(_MODERN) - modern) if named else (modern - len(_MODERN))

    return max(alike, key=rank)


def _weights(accept: str | None) -> dict[str, float]:
    """Media ranges and their weights (RFC 9110, section 12.5.1); what is no such list accepts anything."""
    if not accept or len(accept) > LONGEST_ACCEPT:
        return {"*/*": 1.0}
    weights: dict[str, float] = {}
    for each in accept.split(","):
        if (match := _ACCEPTED.fullmatch(each)) is not None:
            weight = _WEIGHT.search(match[2])
            weights[match[1].lower()] = float(weight[1]) if weight else 1.0
    return weights or {"*/*": 1.0}
