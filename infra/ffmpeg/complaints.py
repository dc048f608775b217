"""What FFmpeg says of a file that it can't decode, as a code and a sentence for a person.

The words are FFmpeg 5.1's (https://github.com/FFmpeg/FFmpeg/tree/release/5.1): fftools/, libavfilter/, libavcodec/ and
libavutil/error.c. What is our own fault, such as a full disk, is no refusal: `Ffmpeg.run` raises it as what it is.
"""

import re
from typing import Final

from infra.decoder import DecodeCode, DecodeRejected
from infra.ffmpeg.run import Ran

# In the order in which they count.
COMPLAINTS: Final[tuple[tuple[DecodeCode, str, str], ...]] = (
    ("too_many_streams", r"exceeds max_streams", "it has more tracks than are accepted"),
    ("decode_memory", r"Cannot allocate memory|malloc of size|Error while opening encoder", "it takes too much memory"),
    (
        "too_many_pixels",
        r"exceeds specified max pixel count|Picture size .{1,40} is invalid",
        "its pictures are too large",
    ),
    (
        "unsupported_codec",
        r"not on whitelist.*\n.*(?:opening decoder|not open codec)|Decoder .{0,60}not found|Unknown decoder",
        "one of its tracks has a rare codec",
    ),
    (
        "unsupported_pixels",
        (
            r"Impossible to convert between the formats|no path between colorspaces|Unsupported pixel format"
            r"|Error reinitializing filters|Failed to inject frame into filter network"
        ),
        "its pictures change their form, or have one that can't be converted",
    ),
    (
        "truncated",
        r"partial file|File ended prematurely|Packet corrupt|moov atom not found|atom truncated|: End of file",
        "a part of what it announces is missing",
    ),
    (
        "corrupt_frames",
        (
            r"Error while decoding stream|error while decoding MB|corrupt decoded frame|concealing \d+"
            r"|Invalid NAL unit size|Error submitting packet to decoder|Error while processing the decoded data"
        ),
        "frames of it can't be decoded",
    ),
    ("corrupt", r"exceeds containing master element|CRC mismatch|Invalid data found", "its structure is broken"),
)


def refuse(ran: Ran, otherwise: str = "it can't be decoded") -> DecodeRejected:
    """Why a file is refused whose run was no good."""
    for code, words, reason in COMPLAINTS:
        if re.search(words, ran.complained):
            return DecodeRejected(code, reason)
    return DecodeRejected("corrupt", otherwise)
