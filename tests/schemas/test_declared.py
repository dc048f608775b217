"""What clients call a file, and what it is found to be."""

import pytest

from schemas.declared import agrees
from schemas.types import TYPES


@pytest.mark.parametrize("found", TYPES)
def test_the_same_type_by_any_spelling(found: str) -> None:
    """A type agrees with itself, in any case and with any parameters."""
    for declared in (found, found.upper(), f"{found}; charset=utf-8", f" {found} ;a=b"):
        assert agrees(declared, found)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("image/jpg", "image/jpeg"),
        ("image/apng", "image/png"),
        ("image/heif", "image/heic"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/x-wav", "audio/wav"),
        ("audio/x-m4a", "audio/mp4"),
        ("audio/opus", "audio/ogg"),
        ("application/ogg", "audio/ogg"),
        ("video/x-m4v", "video/mp4"),
        ("video/mp4", "audio/mp4"),
        ("audio/mp4", "video/mp4"),
        ("video/quicktime", "video/mp4"),
        ("video/webm;codecs=opus", "audio/webm"),
        ("audio/webm;codecs=opus", "audio/webm"),
        ("video/x-matroska;codecs=avc1", "video/webm"),
        ("text/csv", "text/plain"),
        ("text/markdown", "text/plain"),
        ("application/json", "text/plain"),
        ("application/vnd.ms-excel", "text/plain"),
    ],
)
def test_honest_words(declared: str, found: str) -> None:
    """What browsers and desktops call a file agrees with what it is."""
    assert agrees(declared, found)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("application/octet-stream", "image/png"),
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/png", "image/jpeg"),
        ("image/jpeg", "text/plain"),
        ("text/html", "text/plain"),
        ("image/svg+xml", "text/plain"),
        ("application/javascript", "text/plain"),
        ("video/mp4", "image/heic"),
        ("video/mp4", "video/webm"),
        ("audio/ogg", "audio/webm"),
        ("audio/mpeg", "audio/mp4"),
        ("application/zip", "application/epub+zip"),
        ("application/msword", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("application/x-msdownload", "application/x-msdownload"),
        ("text/html", "text/html"),
    ],
)
def test_other_words(declared: str, found: str) -> None:
    """Another type, none, a wildcard, or a type that nobody can check: they agree with nothing."""
    assert not agrees(declared, found)


def test_no_word_means_two_kinds_of_thing() -> None:
    """A declared type that agrees with several found ones is a container's, which holds sound and pictures."""
    for declared in TYPES:
        kinds = {TYPES[found].kind for found in TYPES if agrees(declared, found)}
        assert len(kinds) == 1 or kinds == {"audio", "video"}
