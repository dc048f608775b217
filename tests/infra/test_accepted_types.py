"""Which types an installation accepts."""

import pytest
from pydantic import ValidationError

from infra.settings import Settings
from schemas.types import TYPES


def test_everything_that_can_be_checked_is_accepted() -> None:
    """Without a word from the operator all types come in."""
    assert Settings().accepted == TYPES.keys()


def test_types_are_named_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind's types are separated by commas; a kind without any is switched off."""
    monkeypatch.setenv("TIDEGATE_ACCEPT_IMAGES", "image/png, image/JPEG")
    monkeypatch.setenv("TIDEGATE_ACCEPT_VIDEO", "")
    settings = Settings()
    assert settings.accept_images == ("image/png", "image/jpeg")
    assert settings.accept_video == ()
    assert {"image/png", "application/pdf", "audio/mpeg"} <= settings.accepted
    assert not {"image/gif", "video/mp4"} & settings.accepted


@pytest.mark.parametrize("named", ["text/html", "image/png,image/svg+xml", "video/mp4", "png", "image/*"])
def test_what_cannot_be_checked(named: str) -> None:
    """A type of another kind, or one that no decoder reads, can't be accepted; the error names it and what can."""
    with pytest.raises(ValidationError, match=r"can't be checked here; what can is image/jpeg"):
        Settings(accept_images=(named,) if "," not in named else tuple(named.split(",")))
