"""How MongoDB finds media: the index behind each filter of a listing, and the queries that use them.

Every index begins with who may see a media and ends with its id, which is in order of time (UUIDv7). So a query reads
what its caller may see and nothing else, newest first without sorting, and each names its index: the planner can't
choose to read everybody's media in order of time instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.catalog import resembling, tagged

INDEXES: Final[Mapping[str, tuple[str, ...]]] = {
    "message": ("readers", "message"),
    "conversation": ("readers", "conversation"),
    "tag": ("tagged",),
    "owner": ("readers", "owner"),
    "state": ("readers", "state"),
    "kind": ("readers", "kind"),
    "time": ("readers",),
    "looks": ("owner", "looks"),
}
"""By filter, the fields of its index before the id. Of several filters the first one here has its index used, and the
others narrow what it finds; without any it is `time`. `looks` is for what resembles a picture of an owner's."""
PARTIAL: Final[Mapping[str, dict[str, Any]]] = {"looks": {"looks": {"$exists": True}}}
"""Indexes of a part of the media: most have no looks."""
READERS_AT_ONCE: Final = 100
"""MongoDB merges 200 ranges of an index in order at most; with more it reads all and sorts in memory."""

MOST_RESEMBLING: Final = 5000
"""Pictures of one owner that are compared: more share nearly a quarter of a hash only where most of them look alike."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A filter, and the name of the index it is made for. In order of falling `_id`."""

    filter: Document
    index: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing asks for; words are those of `schemas.catalog`.

    Attributes:
        readers: as whom it is asked: a media is listed if one of these may see it.
        owner, kind, state, conversation, message, tag, audience: as the media must have it; None: any.
        since: media requested at this time or later, to the millisecond.
        until: media requested before this time, to the millisecond.
        before: media with a smaller id: those after the last one of a page.
    """

    readers: tuple[str, ...]
    owner: str | None = None
    kind: str | None = None
    state: str | None = None
    conversation: str | None = None
    message: str | None = None
    tag: str | None = None
    audience: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: str | None = None

    def queries(self) -> list[Query]:
        """The queries whose answers together, merged by id, are what is wanted."""
        asked = {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}
        index = next(name for name in INDEXES if name in asked or name == "time")
        found: list[Query] = []
        for begin in range(0, len(self.readers), READERS_AT_ONCE):
            some = self.readers[begin : begin + READERS_AT_ONCE]
            narrow: Document = {"readers": {"$in": list(some)}} | asked | self._ids()
            if (tag := narrow.pop("tag", None)) is not None:
                narrow["tags"] = tag
                narrow["tagged"] = {"$in": [tagged(reader, tag) for reader in some]}
            found.append(Query(narrow, index_name(index)))
        return found

    def _ids(self) -> Document:
        upper = [bound for bound in (self.before, _id_at(self.until)) if bound is not None]
        bounds = ({"$gte": _id_at(self.since)} if self.since else {}) | ({"$lt": min(upper)} if upper else {})
        return {"_id": bounds} if bounds else {}


@dataclass(frozen=True, slots=True)
class Resembling:
    """What looks like a picture.

    Attributes:
        readers: as whom it is asked: a media is found if one of these may see it.
        owner: whose media.
        media_id: the picture's own, which is not found.
        perceptual_hash: how it looks.
        different: in how many bits the hashes may differ.
    """

    readers: tuple[str, ...]
    owner: str
    media_id: str
    perceptual_hash: str
    different: int

    def query(self) -> Query:
        """Whose answers may differ in more bits, and hold all that don't."""
        narrow: Document = {
            "owner": self.owner,
            "looks": {"$in": resembling(self.perceptual_hash, self.different)},
            "readers": {"$in": list(self.readers)},
            "_id": {"$ne": self.media_id},
        }
        return Query(narrow, index_name("looks"))


_FIELDS: Final = ("owner", "kind", "state", "conversation", "message", "tag", "audience")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def index_name(asked: str) -> str:
    """What the index of a filter is called."""
    return f"listing_by_{asked}"


def _id_at(when: datetime | None) -> str | None:
    """What every id of this millisecond and later is not less than: a UUIDv7 begins with its time.

    https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7.
    """
    if when is None:
        return None
    digits = f"{max((when - _EPOCH) // timedelta(milliseconds=1), 0):012x}"
    return f"{digits[:8]}-{digits[8:]}"
