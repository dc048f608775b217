"""Which file a quality means: the nearest lower one, and the format that the client takes."""

import pytest

from gateway.quality import choose
from schemas.renditions import Quality, Rendition


def made(name: str, quality: Quality | None, content_type: str = "image/jpeg") -> Rendition:
    """A rendition."""
    return Rendition(name=name, content_type=content_type, size=1, quality=quality)


LOW, HIGH = made("low.jpg", "low"), made("high.jpg", "high")
FORMATS = [
    made("a.jpg", "low"),
    made("a.webp", "low", "image/webp"),
    made("a.avif", "low", "image/avif"),
]


@pytest.mark.parametrize(
    ("wanted", "there", "name"),
    [
        ("low", [LOW, HIGH], "low.jpg"),
        ("standard", [LOW, HIGH], "low.jpg"),
        ("high", [LOW, HIGH], "high.jpg"),
        ("high", [LOW], "low.jpg"),
        ("low", [HIGH], "high.jpg"),
        ("low", [made("a.jpg", None)], None),
        ("low", [made("stream/a.mp4", "low", "video/mp4")], None),
        ("low", [made("a.mp4", "low", "video/mp4")], None),
        ("low", [], None),
    ],
)
def test_the_nearest_lower_one(wanted: Quality, there: list[Rendition], name: str | None) -> None:
    """Else the nearest higher; nothing without a quality, in a player's folder, or of another kind."""
    found = choose(there, "image", wanted, None)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        (None, "a.jpg"),
        ("", "a.jpg"),
        ("*/*", "a.jpg"),
        ("image/*", "a.jpg"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "a.avif"),
        ("image/webp,*/*", "a.webp"),
        ("image/webp;q=0.5,image/jpeg", "a.jpg"),
        ("image/webp;q=0.5,image/jpeg;q=0.4", "a.webp"),
        ("image/avif;q=0,*/*", "a.jpg"),
        ("IMAGE/WEBP", "a.webp"),
        ("text/html", "a.jpg"),
        ("image/webp;q=2", "a.webp"),
        (",;=", "a.jpg"),
        ("image/webp," * 500, "a.jpg"),
    ],
)
def test_the_format_is_the_client_s(accept: str | None, name: str) -> None:
    """Newer formats for who names them, by weight, then by size; a wildcard alone is anybody, who knows JPEG."""
    found = choose(FORMATS, "image", "low", accept)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [("document", "image/webp"), ("video", "video/mp4"), ("audio", "audio/mp4"), ("unknown", "image/webp")],
)
def test_every_kind_has_its_own_files(kind: str, content_type: str) -> None:
    """Of a document its page, of a video its progressive file, of a sound what browsers play."""
    found = choose([made("a.x", "low", content_type)], kind, "high", None)
    assert (found is None) is (kind == "unknown")
