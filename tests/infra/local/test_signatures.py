"""Which signatures clamd gets, and what they are called."""

from pathlib import Path

import pytest

from infra.local.signatures import SignaturesUnusable, install_signatures


def test_the_label_names_the_set(tmp_path: Path) -> None:
    """The same signatures have the same label, on any machine; others another."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "more.ndb").write_text("More:0:*:414243\n")
    first = install_signatures(tmp_path / "one", system=None)
    again = install_signatures(tmp_path / "two", system=None)
    more = install_signatures(tmp_path / "one", own=own, system=None)
    assert first == again
    assert first.label.startswith("test-")
    assert not first.real
    assert more.label.startswith("test-own-")
    assert more.description == f"built-in test signatures and 1 signature file from {own}"
    assert {path.name for path in (tmp_path / "one").iterdir()} >= {"own-more.ndb", "tidegate-test.ndb"}


def test_real_databases_replace_the_test_signatures(tmp_path: Path) -> None:
    """Where ClamAV's databases are, clamd's own version names them and the test ones stay out."""
    system = tmp_path / "system"
    system.mkdir()
    (system / "main.cvd").write_bytes(b"")
    found = install_signatures(tmp_path / "used", system=system)
    assert found.real
    assert found.label == ""
    assert found.description == "ClamAV databases (main)"
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["main.cvd"]
    assert (tmp_path / "used" / "main.cvd").resolve() == system / "main.cvd"


@pytest.mark.parametrize("exists", [True, False])
def test_an_unusable_directory_is_refused(tmp_path: Path, exists: bool) -> None:
    """Signatures that somebody asked for are never silently left out."""
    own = tmp_path / "own"
    if exists:
        own.mkdir()
    with pytest.raises(SignaturesUnusable, match=str(own)):
        install_signatures(tmp_path / "used", own=own, system=None)
