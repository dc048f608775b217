"""Addresses of a media's files that need no token: signed for MinIO, or with a grant for the gateway.

The moment of signing is rounded, so that the same file has the same address for a while and a browser knows it again.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request

from gateway.offered import File, offered
from gateway.services import Services
from infra.presign import LONGEST_SECONDS
from infra.tokens import Claims
from schemas.api import RenditionView
from schemas.document import Fold
from schemas.products import DASH, HLS, Made, Stream, streams

_QUARTERS: Final = 4
# Of `/v1/media/{media_id}/`.
_SLASHES: Final = 4


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed URL of MinIO's and when it is over, in Unix seconds."""

    url: str
    expires: int

    @property
    def seconds(self) -> int:
        """How long it still works."""
        return int(self.expires - time.time())


def sign(at: Services, file: File) -> Signed:
    """Permit reading one file from MinIO for `link_seconds`, or up to a quarter less."""
    life = at.settings.link_seconds
    begun = _rounded(life)
    url = at.downloads.presign_get(
        file.key,
        expires=life,
        file_name=file.save_as,
        content_type=file.content_type,
        now=datetime.fromtimestamp(begun, UTC),
    )
    return Signed(url, begun + life)


def over_at(at: Services, seconds: float) -> int:
    """When a link for players is over that is given now: `play_seconds` beyond so many, at least, in Unix seconds."""
    life = min(at.settings.play_seconds + math.ceil(seconds), LONGEST_SECONDS // 2)
    return _rounded(life) + life + life // _QUARTERS


def begun_at(expires: int) -> datetime:
    """When URLs were signed that end together with a link: the same for a quarter of the time that is left."""
    left = max(int(expires - time.time()), 1)
    return datetime.fromtimestamp(_rounded(1 << max(left.bit_length() - 2, 0)), UTC)


def upwards(request: Request) -> str:
    """The way from the address that was asked for up to the media's own: who follows it takes `%2F` for no slash."""
    return "../" * (request.scope["raw_path"].count(b"/") - _SLASHES)


def _rounded(life: int) -> int:
    step = max(life // _QUARTERS, 1)
    return int(time.time()) // step * step


@dataclass(frozen=True, slots=True)
class Links:
    """What a status answer is given addresses by: for one media and one bearer, after his right was seen."""

    at: Services
    fold: Fold
    grant: str
    expires: int
    announced: Sequence[Made]

    @classmethod
    def of(cls, at: Services, fold: Fold, claims: Claims, announced: Sequence[Made]) -> "Links":
        """Give links to who may read the media."""
        expires = over_at(at, max((stream.seconds for stream in streams(announced)), default=0))
        grant = at.grants.give(fold.media_id, claims.owner, expires)
        return cls(at, fold, grant, expires, announced)

    def here(self, path: str) -> str:
        """An address of the gateway's."""
        return f"{self.at.settings.gateway_url.rstrip('/')}/v1/media/{self.fold.media_id}/{path}?grant={self.grant}"

    def file(self, name: str) -> dict[str, Any]:
        """`url` and `url_expires_at` of one file; nothing for one that isn't offered."""
        file = offered(self.fold, name, self.announced)
        if file is None:
            return {}
        # What a playlist or a storyboard lists is signed when it is read, by the gateway.
        if file.player:
            return {"url": self.here(file.player), "url_expires_at": _moment(self.expires)}
        if self.at.settings.delivery == "proxy":
            return {"url": self.here(f"files/{name}"), "url_expires_at": _moment(self.expires)}
        signed = sign(self.at, file)
        return {"url": signed.url, "url_expires_at": _moment(signed.expires)}


def shown(announced: Sequence[Made], links: Links | None) -> dict[str, Any]:
    """The fields of a status answer about what was made; without links no address."""
    playing = streams(announced)
    whole = {rendition.name for each in announced if each.product for rendition in each.renditions}
    return {
        "renditions": [
            RenditionView.model_validate(
                {**dict(rendition), "product": each.product, **(links.file(rendition.name) if links else {})}
            )
            for each in announced
            for rendition in each.renditions
            if each.product or rendition.name not in whole
        ],
        "descriptions": {each.product: each.description for each in announced if each.product and each.description},
        "playable": any(each.product is None for each in announced) or bool(playing),
        **(_entries(playing, links) if links else {}),
    }


def _entries(playing: Sequence[Stream], links: Links) -> dict[str, Any]:
    return {
        "hls": links.here(f"hls/{HLS}") if any(stream.hls for stream in playing) else None,
        "dash": links.here(f"dash/{DASH}") if any(stream.dash for stream in playing) else None,
        "file": links.here("file") if links.fold.named("promoted") else None,
        "links_expire_at": _moment(links.expires) if links.fold.named("promoted") else None,
    }


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
