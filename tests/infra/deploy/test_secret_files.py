"""The files of `tidegate secrets`: generated once, readable where they are mounted and nowhere else."""

import json
import stat
from pathlib import Path

from infra.deploy.secret_files import write_secret_files
from infra.local.nats import permissions


def mode(path: Path) -> int:
    """Its permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_only_their_owner_reaches_them(tmp_path: Path) -> None:
    """Any user inside a container can read a mounted file; outside, the directory lets nobody but its owner in."""
    directory = tmp_path / "secrets"
    directory.mkdir(mode=0o755)
    written = write_secret_files(directory)
    assert mode(directory) == 0o700
    assert {mode(path) for path in written} == {0o444}
    assert mode(directory / "secrets.json") == 0o600


def test_written_again_they_stay(tmp_path: Path) -> None:
    """Passwords are kept, and nothing is written that is right."""
    first = {path: path.read_text() for path in write_secret_files(tmp_path)}
    assert write_secret_files(tmp_path) == []
    assert {path: path.read_text() for path in first} == first


def test_a_password_is_changed_by_forgetting_it(tmp_path: Path) -> None:
    """One that is taken out of secrets.json is generated anew, in every file that holds it and in no other."""
    write_secret_files(tmp_path)
    known = json.loads((tmp_path / "secrets.json").read_text())
    known.pop("nats_functions")
    (tmp_path / "secrets.json").write_text(json.dumps(known))
    assert {path.name for path in write_secret_files(tmp_path)} == {"nats.conf", "functions_nats_url"}
    known.pop("minio_signer")
    (tmp_path / "secrets.json").write_text(json.dumps(known | {"nats_functions": "x" * 32}))
    changed = {path.name for path in write_secret_files(tmp_path)}
    assert changed == {"nats.conf", "functions_nats_url", "users.json", "signer_secret_key"}


def test_an_upgrade_says_anew_who_may_do_what(tmp_path: Path) -> None:
    """What NATS allows is the code's to say: an older file is replaced, with the same passwords."""
    write_secret_files(tmp_path)
    conf = tmp_path / "nats.conf"
    right = conf.read_text()
    conf.chmod(0o644)
    conf.write_text(right.replace('"minio.>"', '">"'))
    assert write_secret_files(tmp_path) == [conf]
    assert conf.read_text() == right
    assert all(f'"user": "{user}"' in right for user in permissions())


def test_no_two_jobs_share_a_password(tmp_path: Path) -> None:
    """And none is short."""
    write_secret_files(tmp_path)
    secrets = json.loads((tmp_path / "secrets.json").read_text()).values()
    assert len(set(secrets)) == len(secrets)
    assert min(map(len, secrets)) >= 32
