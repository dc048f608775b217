"""The signatures clamd loads: real databases where the system has some, the operator's own, and test ones."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

TEST_STRING = b"TIDEGATE-TEST-SIGNATURE"
"""A file that holds these bytes anywhere is found by the built-in test signatures."""

SYSTEM_DATABASES = Path("/var/lib/clamav")

# In hexadecimal, so that no scanner minds this file.
EICAR = bytes.fromhex(
    "58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e54495649525553"
    "2d544553542d46494c452124482b482a"
)
"""The test file of https://www.eicar.org/download-anti-malware-testfile/, which every scanner finds."""

# clamd looks at HTML in its normal form alone (target 3), which is in lower case.
_TEST_FILES = {
    "tidegate-test.ndb": "".join(
        f"{name}:0:*:{text.hex()}\n{name}:3:*:{text.lower().hex()}\n"
        for name, text in (
            ("Eicar-Test-Signature", EICAR),
            ("Tidegate-Test-Signature", TEST_STRING),
        )
    ),
    "tidegate-test.hdb": "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test-File\n",
}
_OWN_SUFFIXES = (".ndb", ".hdb", ".hsb")


class SignaturesUnusable(Exception):
    """The operator's signatures can't be used; the message says why."""


@dataclass(frozen=True)
class Signatures:
    """What a set of signatures is.

    Attributes:
        description: For people, e.g. "built-in test signatures".
        label: For verdicts, e.g. `test-1a2b3c4d`: the same for the same set. Empty when clamd's own version says it.
        real: Whether ClamAV's databases are among them; without, almost every virus goes unnoticed.
    """

    description: str
    label: str
    real: bool


def install_signatures(target: Path, *, own: Path | None = None, system: Path | None = SYSTEM_DATABASES) -> Signatures:
    """Fill clamd's database directory anew.

    ClamAV's databases are linked, so freshclam's updates reach clamd; without any, the test signatures stand in.

    Args:
        target: clamd's `DatabaseDirectory`.
        own: Directory of the operator's .ndb, .hdb and .hsb files, added to the others.
        system: Directory of ClamAV's databases (.cvd, .cld); `None` leaves them out.

    Raises:
        SignaturesUnusable: `own` is no directory or holds no signatures.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    digest = hashlib.sha256()
    real = [path for path in sorted(system.glob("*.c[vl]d")) if os.access(path, os.R_OK)] if system else []
    for path in real:
        (target / path.name).symlink_to(path)
    said = [f"ClamAV databases ({', '.join(path.stem for path in real)})"] if real else ["built-in test signatures"]
    if not real:
        for name, text in _TEST_FILES.items():
            (target / name).write_text(text)
            digest.update(text.encode())
    if own is not None:
        files = own_files(own)
        for path in files:
            content = path.read_bytes()
            (target / f"own-{path.name}").write_bytes(content)
            digest.update(content)
        said.append(f"{len(files)} signature {'file' if len(files) == 1 else 'files'} from {own}")
    origin = "-".join(name for name, used in (("test", not real), ("own", own is not None)) if used)
    return Signatures(" and ".join(said), f"{origin}-{digest.hexdigest()[:8]}" if origin else "", bool(real))


def own_files(own: Path) -> list[Path]:
    """The operator's signature files.

    Raises:
        SignaturesUnusable: `own` is no directory or holds none.
    """
    if not own.is_dir():
        raise SignaturesUnusable(
            f"{own} is not a directory: --signatures takes a directory of .ndb, .hdb or .hsb files"
        )
    files = sorted(path for path in own.iterdir() if path.suffix in _OWN_SUFFIXES and path.is_file())
    if not files:
        raise SignaturesUnusable(f"{own} holds no .ndb, .hdb or .hsb file")
    return files
