"""Settings from variables and from files, as containers get their secrets."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from infra.settings import Settings

SECRETS = {
    "nats_url": "nats://functions:p%40ss@nats:4222",
    "mongo_url": "mongodb://functions:p%40ss@mongo:27017/?authSource=admin",
    "minio_access_key": "functions",
    "minio_secret_key": "m1n10",
    "signer_access_key": "signer",
    "signer_secret_key": "s1gn",
    "jwt_secret": "j" * 48,
}


def plain(value: object) -> object:
    """A secret as text."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("upper", [True, False])
def test_every_secret_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, upper: bool) -> None:
    """Named as the variable would be, in either case; a newline at its end is no part of it."""
    file = f"tidegate_{name}"
    (tmp_path / (file.upper() if upper else file)).write_text(SECRETS[name] + "\n")
    (tmp_path / "nats.conf").write_text("somebody else's")
    monkeypatch.setenv("TIDEGATE_SECRETS_DIR", str(tmp_path))
    assert plain(getattr(Settings(), name)) == SECRETS[name]


def test_all_that_is_secret_is_known_here() -> None:
    """The list above holds every field that hides itself."""
    hidden = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    assert hidden <= set(SECRETS)


def test_a_variable_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an argument over both."""
    (tmp_path / "tidegate_bucket").write_text("of-the-file")
    monkeypatch.setenv("TIDEGATE_SECRETS_DIR", str(tmp_path))
    assert Settings().bucket == "of-the-file"
    monkeypatch.setenv("TIDEGATE_BUCKET", "of-the-variable")
    assert Settings().bucket == "of-the-variable"
    assert Settings(bucket="of-the-argument").bucket == "of-the-argument"


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults would be a guest's credentials, and an error somewhere else."""
    monkeypatch.setenv("TIDEGATE_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(ValidationError, match="secrets_dir"):
        Settings()
