"""DASH manifests (ISO/IEC 23009-1) as they are stored, read strictly, and written again with addresses.

A template says how all segments are named, and a signature is of one name; with each of a long video's 40,000 segments
listed in its place, a manifest would have 20 MB. So the template leads to the gateway, with a grant, and that to each
segment.
"""

import re
from collections.abc import Callable
from typing import Final
from xml.etree import ElementTree as ET

from gateway.playlists import INIT, SEGMENT, PlaylistBroken

LARGEST_BYTES: Final = 8 * 1024 * 1024
_NAMESPACE: Final = "urn:mpeg:dash:schema:mpd:2011"
_TEMPLATE: Final = "SegmentTemplate"
_ELEMENTS: Final = frozenset(
    {
        "MPD", "ProgramInformation", "ServiceDescription", "Period", "AdaptationSet", "Representation", "Role",
        "AudioChannelConfiguration", "EssentialProperty", "SupplementalProperty", _TEMPLATE, "SegmentTimeline", "S",
    }
)  # fmt: skip
_URNS: Final = re.compile(r"urn:[A-Za-z0-9:._-]{1,120}(,\s?urn:[A-Za-z0-9:._-]{1,120}){0,8}")
_VALUE: Final = re.compile(r"[A-Za-z0-9 ._,:+/-]{0,128}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|^//")
# `$RepresentationID$` and `$Number%05d$`: whatever they stand for are digits.
_VARIABLE: Final = re.compile(r"\$RepresentationID\$|\$Number(?:%0[1-9]d)?\$")

ET.register_namespace("", _NAMESPACE)


def manifest(text: bytes, link: Callable[[str], str]) -> bytes:
    """A manifest whose segments have addresses.

    Args:
        text: As it is stored.
        link: The address of a name, a template of names among them; escapes nothing, and adds no `$`.

    Raises:
        PlaylistBroken: It is none that FFmpeg writes, or names anything but files beside it.
    """
    # Before it is parsed: entities could be anything, of any length (https://docs.python.org/3/library/xml.html).
    if len(text) > LARGEST_BYTES or b"<!" in text:
        raise PlaylistBroken("it is too large, or declares something")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without declarations there are no entities
    except ET.ParseError as error:
        raise PlaylistBroken(f"it is not XML: {error}") from None
    if root.tag != f"{{{_NAMESPACE}}}MPD":
        raise PlaylistBroken("it is no manifest")
    for element in root.iter():
        name = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
        if name not in _ELEMENTS or (element.text or "").strip() or (element.tail or "").strip():
            raise PlaylistBroken(f"an element {name[:40]} is not known here")
        # Where the schema is would be an address of somebody else's; the namespaces' declarations are no attributes.
        for foreign in [key for key in element.attrib if key.startswith("{")]:
            del element.attrib[foreign]
        _check(element, name)
        if name == _TEMPLATE:
            for key, pattern in (("initialization", INIT), ("media", SEGMENT)):
                element.set(key, link(_template(element.get(key, ""), pattern)))
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _check(element: ET.Element, name: str) -> None:
    """No value is more than a word, a number, a time or a URN."""
    for key, value in element.attrib.items():
        if name == _TEMPLATE and key in {"initialization", "media"}:
            continue
        if _URNS.fullmatch(value):
            continue
        if not _VALUE.fullmatch(value) or _SCHEME.search(value):
            raise PlaylistBroken(f"{key[:40]} of {name} has a value that is not known here")


def _template(value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(_VARIABLE.sub("0", value)):
        raise PlaylistBroken("a template names no files beside the manifest")
    return value
