"""A storyboard's cues (https://www.w3.org/TR/webvtt1/) as they are stored, with addresses in place of names.

Each says where in which sheet a moment's picture is (https://www.w3.org/TR/media-frags/#naming-space). Beside a signed
address the sheet's bare name would lead to one without a signature.
"""

import re
from collections.abc import Callable
from typing import Final

from gateway.playlists import PlaylistBroken

_TIME: Final = r"[0-9]{2,4}:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}"
_KEPT: Final = re.compile(rf"|WEBVTT|{_TIME} --> {_TIME}")
_PLACE: Final = re.compile(r"([a-z][a-z0-9-]{0,31}\.jpg)(#xywh=[0-9]{1,5},[0-9]{1,5},[0-9]{1,5},[0-9]{1,5})")


def linked(text: str, link: Callable[[str], str]) -> str:
    """The cues of a storyboard whose sheets have addresses.

    Args:
        text: As they are stored.
        link: A sheet's address by its name.

    Raises:
        PlaylistBroken: It is none that Tidegate writes.
    """
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if place := _PLACE.fullmatch(line):
            lines.append(f"{link(place[1])}{place[2]}")
        elif _KEPT.fullmatch(line):
            lines.append(line)
        else:
            raise PlaylistBroken(f"line {number} is none of a storyboard's")
    return "\n".join(lines)
