"""What containers are started with: secrets made, users made, and a worker's choice of kinds."""

from pathlib import Path

import pytest

import cli.worker
from cli.worker import chosen
from events.registry import Registry, function
from infra.settings import Settings
from schemas.events import Promoted, Scanned
from tests.cli.running import tidegate


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """One function for every kind, one for two, one for images."""
    registry = Registry()

    @function(on=Scanned, into=registry)
    async def scan(event: Scanned) -> None:
        """For every kind."""

    @function(on=Scanned, kinds=("image", "document"), into=registry)
    async def probe(event: Scanned) -> None:
        """For two kinds."""

    @function(on=Promoted, kinds=("image",), into=registry)
    async def render_image(event: Promoted) -> None:
        """For images."""

    monkeypatch.setattr(cli.worker, "load", lambda: registry)
    return registry


@pytest.mark.parametrize(
    ("names", "kinds", "wanted"),
    [
        ([], [], {"scan", "probe", "render_image"}),
        (["scan"], [], {"scan"}),
        ([], ["image"], {"probe", "render_image"}),
        ([], ["document"], {"probe"}),
        (["scan", "probe"], ["image"], {"scan", "probe", "render_image"}),
        (["scan"], ["video", "audio"], {"scan"}),
    ],
)
def test_a_worker_takes_names_and_kinds(
    installed: Registry, names: list[str], kinds: list[str], wanted: set[str]
) -> None:
    """What is named, and what is for a kind and not for all of them; each once; without either, everything."""
    found = [each.name for each in chosen(names, Settings(), kinds)]
    assert sorted(found) == sorted(wanted)


def test_a_worker_without_functions_is_refused(installed: Registry) -> None:
    """Rather than everything, or nothing."""
    with pytest.raises(ValueError, match="no function is for video alone"):
        chosen([], Settings(), ["video"])


def test_an_unknown_kind_is_named() -> None:
    """With those there are."""
    answer = tidegate("run", "probe", "--kind", "foto")
    assert answer.code == 2
    assert answer.err.strip() == "There is no kind foto: there are document, image, video, audio."


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """The command says what it wrote, never what is in it."""
    first = tidegate("secrets", tmp_path / "new", "--json").json
    assert {"nats.conf", "minio.env", "users.json", "jwt_secret"} <= set(first["written"])
    again = tidegate("secrets", tmp_path / "new")
    assert "Nothing to change" in again.err
    for path in (tmp_path / "new").glob("*_secret*"):
        assert path.read_text() not in again.out + again.err


def test_users_that_nobody_wrote_are_refused(tmp_path: Path) -> None:
    """A sentence that says where the file comes from, before anything is touched."""
    answer = tidegate(
        "provision", "--users", tmp_path / "users.json", variables={"TIDEGATE_NATS_URL": "nats://127.0.0.1:1"}
    )
    assert answer.code == 2
    assert "tidegate secrets" in answer.err
