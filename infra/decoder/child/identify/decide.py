"""What a file is: by its own signature and what stands behind it, else by libmagic."""

from . import archive, ebml, isobmff, libmagic, mpeg, ogg, riff, text
from .libmagic import UNKNOWN
from .view import TooScattered, View

HEAD_BYTES = 4096

# Where libmagic is at its best, and still looks further for a signature, or takes less for one.
_SIGNATURES: dict[str, bytes | tuple[bytes, ...]] = {
    "application/pdf": b"%PDF-",
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/tiff": (b"II*\0", b"MM\0*"),
    "image/bmp": b"BM",
    "audio/flac": b"fLaC",
}
_DOCUMENTS = ("application/vnd.openxmlformats-", "application/vnd.oasis.opendocument.", "application/epub+zip")
# What is never taken on libmagic's word alone.
BY_STRUCTURE = frozenset(
    (
        *_SIGNATURES,
        *("image/webp", "image/heic", "image/avif"),
        *("video/mp4", "video/quicktime", "video/3gpp", "video/webm", "video/x-matroska", "video/x-msvideo"),
        *("audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/wav", "audio/webm"),
    )
)
_SAME = {"image/x-ms-bmp": "image/bmp", "audio/x-flac": "audio/flac"}


def decide(view: View) -> str:
    """Name the content type.

    Raises:
        Need: More of the file must be read.
        Rejected: It is a zip that is broken or several things at once, or a sound that ends in its tag.
    """
    try:
        return _decide(view)
    except TooScattered:
        return UNKNOWN


def _decide(view: View) -> str:
    head = view.head[:HEAD_BYTES]
    guess = libmagic.ask(head)
    guess = _SAME.get(guess, guess)
    if head.startswith(archive.MAGIC):
        return archive.judge(view)
    if head.startswith(ebml.MAGIC):
        return ebml.judge(view)
    if head.startswith(ogg.MAGIC):
        return ogg.judge(head)
    if head.startswith(riff.MAGIC) and (form := riff.judge(head)):
        return form
    if head.startswith(_SIGNATURES.get(guess, ())):
        return guess
    if mpeg.matches(head) and (sound := mpeg.judge(view)):
        return sound
    if isobmff.matches(head):
        return isobmff.judge(view)
    found = text.judge(head, guess)
    return UNKNOWN if found in BY_STRUCTURE or found.startswith(_DOCUMENTS) else found
