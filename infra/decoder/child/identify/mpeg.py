"""MP3 and AAC without a container: frame after frame, each with a header that must fit the one before it.

ISO/IEC 11172-3 and 13818-3 for MP3, 13818-7 for ADTS, https://id3.org for the tag that may stand in front of them, and
of FLAC as well. After a first header, noise passes for two more that fit it once in 2^34: sync, version, layer and
sampling frequency are 17 bits in each.
"""

from collections.abc import Callable

from ..rejected import Rejected
from .view import View

_TAGS = (b"ID3\x02", b"ID3\x03", b"ID3\x04")
_ID3_HEADER = 10
_FOOTER = 0x10
_MOST_TAGS = 3
_LONGEST_PADDING = 4096
_FRAMES = 3
_HEADER = 7  # of an ADTS frame; an MP3 frame's has 4 bytes

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # MPEG 1, 2 and 2.5
_KBITS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def matches(head: bytes) -> bool:
    """Whether this is how such a file begins."""
    return head.startswith(_TAGS) or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)  # noqa: PLR2004 -- a frame's sync bits


def judge(view: View) -> str | None:
    """Say which of them it is, if any.

    Raises:
        Rejected: `truncated`: it ends in its tag.
    """
    start = _after_tags(view)
    if start and start >= view.size:
        raise Rejected("truncated", "nothing follows the tag at its beginning")
    if start and view.read(start, 4) == b"fLaC":
        return "audio/flac"
    if _in_a_row(view, start, _mp3_frame):
        return "audio/mpeg"
    return "audio/aac" if _in_a_row(view, start, _adts_frame) else None


def _after_tags(view: View) -> int:
    start = 0
    for _ in range(_MOST_TAGS):
        tag = view.read(start, _ID3_HEADER)
        if not tag.startswith(_TAGS) or len(tag) < _ID3_HEADER or max(tag[6:10]) > 0x7F:  # noqa: PLR2004 -- seven bits a byte
            break
        length = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += _ID3_HEADER + length + (_ID3_HEADER if tag[5] & _FOOTER else 0)
    if not start:
        return 0
    padding = view.read(start, _LONGEST_PADDING)  # some taggers leave more of it than they say
    return start + len(padding) - len(padding.lstrip(b"\0"))


def _in_a_row(view: View, start: int, frame: Callable[[bytes], tuple[bytes, int] | None]) -> bool:
    first = None
    for _ in range(_FRAMES):
        found = frame(view.read(start, _HEADER))
        if found is None or (first or found)[0] != found[0]:
            return False
        first = found
        start += found[1]
    return True


def _mp3_frame(header: bytes) -> tuple[bytes, int] | None:
    """What all frames of a file have in common, and this one's length."""
    if len(header) < _HEADER or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # noqa: PLR2004 -- sync, layer III
        return None
    version, kbits, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version not in _RATES or not 0 < kbits < 15 or rate == 3:  # noqa: PLR2004 -- all ones are reserved
        return None
    bits = (_KBITS_1 if version == 3 else _KBITS_2)[kbits - 1] * 1000  # noqa: PLR2004 -- MPEG 1
    samples = 144 if version == 3 else 72  # noqa: PLR2004 -- MPEG 1; an eighth of the samples in a frame
    length = samples * bits // _RATES[version][rate] + (header[2] >> 1 & 1)
    return bytes((header[1] & 0xFE, header[2] & 0x0C)), length


def _adts_frame(header: bytes) -> tuple[bytes, int] | None:
    if len(header) < _HEADER or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:  # noqa: PLR2004 -- sync, layer 0
        return None
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if length < _HEADER or header[2] >> 2 & 15 > 12:  # noqa: PLR2004 -- thirteen sampling frequencies
        return None
    return bytes((header[1], header[2], header[3] & 0xC0)), length
