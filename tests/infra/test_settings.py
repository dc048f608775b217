"""Settings from variables and from files, as containers get their secrets."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from infra.settings import Settings

PROFILES = Path(__file__).parents[2] / "infra/deploy/profiles"
FIELDS = {"image": "images", "video": "video", "audio": "audio", "document": "documents"}
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


@pytest.mark.parametrize("name", ["messenger", "gallery", "course"])
def test_an_example_s_profile_is_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of a file in infra/deploy/profiles is a variable that settings know, and promises something."""
    told = dict(
        line.split("=", 1)
        for line in (PROFILES / f"{name}.env").read_text().splitlines()
        if line and not line.startswith("#")
    )
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    changed = [
        profile
        for profile in settings.profiles
        if settings.profiles[profile] != Settings.model_fields[FIELDS[profile]].default
    ]
    assert changed
    for variable in told:
        field, _, inner = variable.removeprefix("TIDEGATE_").lower().partition("__")
        assert inner in getattr(settings, field).model_fields_set, variable


def test_a_profile_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that there isn't, a promise that is none, two variants of one name: each by its name."""
    for variable, value, words in (
        ("TIDEGATE_IMAGES__SIZE", "none", "images.size"),
        ("TIDEGATE_VIDEO__STREAM", "maybe", "video.stream"),
        ("TIDEGATE_IMAGES__VARIANTS", '[{"name": "a", "longest": 100}, {"name": "a", "longest": 200}]', "same name"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            with pytest.raises(ValidationError, match=words):
                Settings()
