"""What a media is found by: who may see it, and the words that a listing asks for.

The same functions make the words when a document is written and when it is asked for, so they agree. A client's
context may hold anything; what can't be asked for is kept with the rest of the context, and found by nothing.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

MOST_TAGS: Final = 32
"""A media is found by the first of its tags: each costs an index entry for everybody who may see it."""
LONGEST_WORD: Final = 128
"""A longer word is found by its digest: an index repeats it for everybody who may see the media."""
BANDS: Final = 4
BAND_BITS: Final = 16
"""A perceptual hash is found by its quarters: of two that differ in at most 11 bits, one quarter differs in at most two
(M. Norouzi et al., "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014)."""
MOST_DIFFERENT: Final = 10
"""Bits of two perceptual hashes that may differ in pictures that look alike. All of them have as many ones as zeros, so
that two differ in an even number; at 12 pictures that have nothing in common begin to be found."""


def owner_word(owner: str) -> str:
    """An owner among `readers`."""
    return f"owner {owner}"


def audience_word(name: str) -> str:
    """A conversation or group among `readers`."""
    return f"audience {name}"


def readers(media: Mapping[str, Any]) -> list[str]:
    """Who may see a media: its owner and its audience. What nobody requested (foreign, no owner) is nobody's."""
    owner: str | None = media.get("owner")
    if owner is None:
        return []
    return [owner_word(owner), *(audience_word(name) for name in dict.fromkeys(media.get("audience") or ()))]


def word(value: object) -> str | None:
    """What a value of the context is found by: text as it is, a number as JSON writes it; None: by nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_WORD else f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def tagged(reader: str, tag: str) -> str:
    """A tag as one reader finds it. One word for both, since MongoDB can't index two lists of a document together."""
    return hashlib.sha256(f"{len(reader)} {reader} {tag}".encode()).hexdigest()[:32]


def searchable(media: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a document that listings search: a pure function of the media."""
    context: Mapping[str, Any] = media.get("context") or {}
    seers = readers(media)
    tags = _tags(context.get("tags"))
    return {
        "owner": media.get("owner"),
        "audience": list(media.get("audience") or ()),
        "readers": seers,
        "conversation": word(context.get("conversation_id")),
        "message": word(context.get("message_id")),
        "tags": tags,
        "tagged": [tagged(reader, tag) for reader in seers for tag in tags],
    }


def _tags(value: object) -> list[str]:
    given = cast("Iterable[object]", value if isinstance(value, list) else [value])
    return list(dict.fromkeys(tag for each in given if (tag := word(each)) is not None))[:MOST_TAGS]


def looks(perceptual_hash: str) -> list[int]:
    """What a picture is found by for how it looks: the quarters of its hash, each with its place."""
    value = int(perceptual_hash, 16)
    return [band << BAND_BITS | value >> band * BAND_BITS & (1 << BAND_BITS) - 1 for band in range(BANDS)]


def resembling(perceptual_hash: str, different: int) -> list[int]:
    """The quarters of which every hash that differs in at most so many bits has one."""
    flips = [
        sum(1 << bit for bit in bits)
        for number in range(different // BANDS + 1)
        for bits in itertools.combinations(range(BAND_BITS), number)
    ]
    return [quarter ^ flip for quarter in looks(perceptual_hash) for flip in flips]


def difference(perceptual_hash: str, other: str) -> int:
    """In how many bits two hashes differ."""
    return (int(perceptual_hash, 16) ^ int(other, 16)).bit_count()
