"""What clients honestly call the types that are found: browsers, phones and desktops each have words of their own.

A declared type agrees with the found one if it is the same or listed here. What follows is always the found one: its
extension, its decoder, the type that it is delivered with.

Containers that hold both sound and pictures are declared by a file's name, or by what a recorder was built for, so
within one family any word will do: an `.mp4` or a recorder's WebM of sound alone, a `.mov` that a phone wrote as MP4,
an `.mkv` that is WebM as well.

`application/octet-stream` (and no type at all) agrees with nothing: whoever doesn't say what a file is can't be held to
it, and a client that guesses by name where its browser doesn't know has one line to write.
"""

from collections.abc import Mapping

from schemas.types import TYPES

_ISO_MEDIA = ("video/mp4", "video/quicktime", "video/3gpp", "audio/mp4")
_ISO_MEDIA_WORDS = (
    *_ISO_MEDIA,
    *("application/mp4", "video/x-m4v", "video/m4v", "video/3gpp2", "video/3gp"),
    *("audio/x-m4a", "audio/m4a", "audio/mp4a-latm", "audio/x-m4b", "audio/3gpp", "audio/3gpp2"),
)
_MATROSKA = ("video/webm", "audio/webm", "video/x-matroska")
_MATROSKA_WORDS = (*_MATROSKA, "video/matroska", "audio/matroska", "audio/x-matroska")

_WORDS: dict[str, tuple[str, ...]] = {
    "image/jpeg": ("image/jpg", "image/pjpeg", "image/x-jpeg", "image/mpo"),
    "image/png": ("image/x-png", "image/apng", "image/vnd.mozilla.apng"),
    "image/heic": ("image/heif", "image/heic-sequence", "image/heif-sequence"),
    "image/avif": ("image/avif-sequence",),
    "image/tiff": ("image/tif", "image/x-tiff", "image/x-tif"),
    "image/bmp": ("image/x-ms-bmp", "image/x-bmp", "image/x-windows-bmp"),
    "video/x-msvideo": ("video/avi", "video/msvideo", "video/vnd.avi"),
    "audio/mpeg": ("audio/mp3", "audio/x-mp3", "audio/mpg", "audio/x-mpeg", "audio/mpeg3", "audio/x-mpeg-3"),
    "audio/aac": ("audio/x-aac", "audio/aacp", "audio/x-hx-aac-adts", "audio/vnd.dlna.adts"),
    "audio/flac": ("audio/x-flac",),
    # Firefox goes by the name, and .ogg was a video's once.
    "audio/ogg": (
        "audio/opus",
        "audio/vorbis",
        "audio/x-vorbis+ogg",
        "audio/x-opus+ogg",
        "application/ogg",
        "video/ogg",
    ),
    "audio/wav": ("audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav"),
    "application/pdf": ("application/x-pdf",),
    "application/epub+zip": ("application/epub", "application/x-epub+zip"),
    # Text with a structure, which nothing runs. HTML, SVG and scripts are not among it: whoever declares one means it.
    "text/plain": (
        *("text/csv", "text/tab-separated-values", "text/markdown", "text/x-markdown", "text/x-log"),
        *("text/vtt", "text/srt", "application/x-subrip", "text/calendar", "text/vcard", "text/x-vcard"),
        *("application/json", "text/json", "application/x-ndjson", "application/jsonl", "application/geo+json"),
        *(
            "text/yaml",
            "text/x-yaml",
            "application/yaml",
            "application/x-yaml",
            "application/toml",
            "application/x-tex",
        ),
        *("text/x-tex", "text/x-c", "text/x-csrc", "text/x-chdr", "text/x-c++src", "text/x-java", "text/x-java-source"),
        *("text/x-diff", "text/x-patch", "text/x-ini"),
        "application/vnd.ms-excel",  # Windows with Excel calls a .csv this
    ),
}


def _agreeing() -> Mapping[str, frozenset[str]]:
    words = {found: frozenset((found, *_WORDS.get(found, ()))) for found in TYPES}
    for family, of_family in ((_ISO_MEDIA, _ISO_MEDIA_WORDS), (_MATROSKA, _MATROSKA_WORDS)):
        words |= dict.fromkeys(family, frozenset(of_family))
    return words


_AGREEING = _agreeing()


def agrees(declared: str, found: str) -> bool:
    """Whether a declared type, with its parameters and in any case, may honestly mean the one that was found."""
    return declared.partition(";")[0].strip().lower() in _AGREEING.get(found, ())
