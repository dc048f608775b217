"""Which files of a media may be had by which names, and how they are to be served: what its events list, no others.

A name is looked up among those names. It never becomes a key by itself, so no path leads anywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.presign import content_disposition
from schemas.document import Fold
from schemas.products import DASH, HLS, Made, Stream, files, made, streams
from schemas.renditions import Rendition, rendition_key

ORIGINAL: Final = "original"
CUES: Final = "text/vtt"
# What browsers show without running anything in it. All else is saved, never opened where it comes from.
_INLINE: Final = frozenset(
    {
        "image/jpeg", "image/png", "image/gif", "image/webp", "image/avif",
        "video/mp4", "video/webm", "video/iso.segment",
        "audio/mp4", "audio/aac", "audio/mpeg", "audio/ogg", "audio/webm", "audio/wav", "audio/flac",
        "application/json", CUES, "application/vnd.apple.mpegurl", "application/dash+xml",
    }
)  # fmt: skip
_BY_EXTENSION: Final = {
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file.

    Attributes:
        name: By which it was asked for.
        key: Of its object.
        content_type: What it is.
        save_as: The name under which it is saved; none: a browser may show it.
        forever: Whether these bytes are all that will ever have this name.
        stream: Whose part it is, if it is one of a stream's.
    """

    name: str
    key: str
    content_type: str
    save_as: str | None = None
    forever: bool = False
    stream: Stream | None = None

    @property
    def disposition(self) -> str:
        """How it is to be shown or saved, as a header."""
        return content_disposition(self.save_as) if self.save_as else "inline"

    @property
    def playlist(self) -> str | None:
        """Of a stream's playlist or manifest its name in the folder."""
        file = self.name.rpartition("/")[2]
        return file if self.stream and file.endswith((".m3u8", ".mpd")) else None

    @property
    def player(self) -> str | None:
        """The address beside the media's at which players find it, with addresses in it: as stored it has names."""
        if self.playlist:
            return f"{'dash' if self.playlist == DASH else 'hls'}/{self.name}"
        return f"vtt/{self.name}" if self.content_type == CUES else None


def offered(fold: Fold, name: str, announced: Sequence[Made] | None = None) -> File | None:
    """The file of this name; None: none of the media's events lists it."""
    if name == ORIGINAL:
        return _original(fold)
    announced = made(fold) if announced is None else announced
    folder, _, part = name.rpartition("/")
    stream = next((each for each in streams(announced) if each.folder == folder), None)
    rendition = files(announced).get(name)
    if rendition is not None:
        return _file(fold.media_id, rendition, stream)
    if stream is not None and stream.has(part) and part not in {HLS, DASH}:
        content_type = _BY_EXTENSION[part.rpartition(".")[2]]
        return File(name, rendition_key(fold.media_id, name), content_type, stream=stream)
    return None


def _file(media_id: str, rendition: Rendition, stream: Stream | None) -> File:
    name, content_type = rendition.name, rendition.content_type
    inline = content_type.partition(";")[0].strip().lower() in _INLINE
    return File(name, rendition_key(media_id, name), content_type, None if inline else name, stream=stream)


def _original(fold: Fold) -> File | None:
    promoted = fold.named("promoted")
    if promoted is None:
        return None
    known = fold.known()
    name: str = known["media"]["filename"]
    return File(
        ORIGINAL,
        promoted["data"]["original"]["key"],
        _declared(promoted["data"]),
        save_as=name,
        forever=True,
    )


def _declared(promoted: dict[str, Any]) -> str:
    """The type that was found; of a text with the encoding that was found, lest anybody guesses another."""
    content_type: str = promoted["identity"]["content_type"]
    probe: dict[str, Any] = promoted.get("probe") or {}
    encoding = probe.get("encoding")
    return f"{content_type}; charset={encoding}" if content_type == "text/plain" and encoding else content_type
