"""How decoding ends other than well.

DecodeRejected        about the file: say so and go on
DecoderUnavailable    about this machine: hold the delivery and try again
SandboxUnavailable    about this machine, at start-up: nothing starts
"""

from typing import Literal

DecodeCode = Literal[
    "polyglot",
    "corrupt",
    "truncated",
    "encrypted",
    "too_many_pages",
    "too_many_pixels",
    "too_many_frames",
    "too_many_streams",
    "too_long",
    "not_text",
    "type_mismatch",
    "bomb",
    "unscannable",
    "active_content",
    "unsupported_codec",
    "unsupported_pixels",
    "corrupt_frames",
    "decode_timeout",
    "decode_memory",
    "decode_crash",
]


SENTENCES: dict[DecodeCode, str] = {
    "polyglot": "The file is two things at once: open it, save it anew as the one that you want, and upload that.",
    "corrupt": "The file is damaged: open it, save it anew and upload that.",
    "truncated": "The file is incomplete, its end is missing: upload it again.",
    "encrypted": "The file needs a password: save it without one and upload that.",
    "too_many_pages": "The document has too many pages: split it and upload the parts.",
    "too_many_pixels": "The picture is too large: make it smaller and upload that.",
    "too_many_frames": "The animation is too long: shorten it, or make it smaller, and upload that.",
    "too_many_streams": "The recording has too many tracks: save it with fewer and upload that.",
    "too_long": "The recording is too long: cut it and upload the parts.",
    "not_text": "The file is no plain text in UTF-8 or UTF-16: save it as UTF-8 and upload that, or, if it is no text, "
    "request the upload with its real type.",
    "type_mismatch": "The file holds something else than its type says: request the upload with its real type.",
    "bomb": "The file unpacks to far more than it should: save it anew, in a simpler form, and upload that.",
    "unscannable": "The virus scanner can't be sure to see all of the file: open it, save it anew and upload that.",
    "active_content": "The document runs code, or fetches parts of itself, when it is opened: save it without macros, "
    "scripts and linked templates or objects, and upload that.",
    "unsupported_codec": "The file is coded in a way that can't be read here: convert it (to H.264 and AAC in an MP4, "
    "for example) and upload that.",
    "unsupported_pixels": "The file's pictures are of a kind that can't be converted here: convert it (to H.264 in "
    "8 bits, for example) and upload that.",
    "corrupt_frames": "Some pictures of the video are damaged: save or record it anew and upload that.",
    "decode_timeout": "The file takes too long to read: save it in a simpler form and upload that.",
    "decode_memory": "The file takes too much memory to read: save it in a simpler form and upload that.",
    "decode_crash": "The file can't be read safely: save it anew and upload that.",
}
"""For the file's owner."""


class DecodeRejected(Exception):
    """The file cannot be accepted: a normal outcome, with a code from a closed list.

    `decode_timeout`, `decode_memory` and `decode_crash` mean that the file did it to two children, one of them fresh.
    """

    def __init__(self, code: DecodeCode, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code: DecodeCode = code
        self.reason = f"{SENTENCES[code]} (Found: {reason}.)"


class DecoderUnavailable(Exception):
    """No decoder child could be started. Says nothing about the file."""


class SandboxUnavailable(DecoderUnavailable):
    """Decoders can't be sandboxed here, and settings require it. The message says what to do."""
