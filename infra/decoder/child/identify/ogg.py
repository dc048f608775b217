"""Ogg: the streams that the first pages announce. RFC 3533; RFC 7845 for Opus."""

from collections.abc import Iterator

MAGIC = b"OggS\0"

_SOUND = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
_SKELETON = b"fishead\0"
_THEORA = b"\x80theora"
_BEGINS_A_STREAM = 0x02
_HEADER = 27


def judge(head: bytes) -> str:
    """Say what is in it: sound alone, or more."""
    first = [packet for packet in _first_packets(head) if not packet.startswith(_SKELETON)]
    if first and all(packet.startswith(_SOUND) for packet in first):
        return "audio/ogg"
    return "video/ogg" if any(packet.startswith(_THEORA) for packet in first) else "application/ogg"


def _first_packets(head: bytes) -> Iterator[bytes]:
    """What each stream begins with: all of them do before any goes on."""
    at = 0
    while head[at : at + 5] == MAGIC and len(head) > at + _HEADER and head[at + 5] & _BEGINS_A_STREAM:
        segments = head[at + _HEADER - 1]
        body = at + _HEADER + segments
        length = sum(head[at + _HEADER : body])
        yield head[body : body + length]
        at = body + length
