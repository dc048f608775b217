"""Are the packages of this program ours? Their names are common, and another distribution may shadow one.

Installed into the same directory, two distributions with a package of one name overwrite each other's files, and the
directory tells nothing of whose it is: then our own list of files does.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution, distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("functions", "events", "schemas", "infra", "gateway", "cli")
DISTRIBUTION = "tidegate"


def shadowed(names: tuple[str, ...] = PACKAGES) -> list[str]:
    """A sentence for each package that is missing or somebody else's; empty when all lie beside this one."""
    home = Path(__file__).resolve().parents[1]
    foreign = {name: place for name in names if (place := _place(name)) != home / name}
    mixed = {name: files for name in names if name not in foreign and (files := _foreign_files(home, name))}
    if not foreign and not mixed:
        return []
    # Reading what every distribution installed takes a while: only once something may be wrong.
    owners = packages_distributions()
    return [
        *(sentence for name, place in foreign.items() if (sentence := _blame(name, place, owners))),
        *(_mixed(name, files) for name, files in mixed.items()),
    ]


def _place(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.origin:
        return Path(spec.origin).resolve().parent
    return next((Path(each).resolve() for each in spec.submodule_search_locations or ()), None)


def _foreign_files(home: Path, name: str) -> list[str]:
    """What lies in one of our packages and isn't ours; empty for a checkout, which nothing is installed into."""
    try:
        files = distribution(DISTRIBUTION).files or []
    except PackageNotFoundError:
        return []
    ours = {file.parts[1] for file in files if file.parts[0] == name and len(file.parts) > 1}
    if not ours:
        return []
    there = {entry.name for entry in (home / name).iterdir() if entry.name != "__pycache__"}
    return sorted(there - ours)


def _mixed(name: str, files: list[str]) -> str:
    owners = sorted(
        {
            each.name
            for each in distributions()
            if each.name.lower() != DISTRIBUTION
            and any(file.parts[0] == name and len(file.parts) > 1 for file in each.files or [])
        }
    )
    if not owners:
        return f"The package `{name}` holds what isn't Tidegate's ({', '.join(files)}): install Tidegate again."
    return (
        f"The package `{name}` is mixed with that of the distribution {' or '.join(owners)} ({', '.join(files)}): both "
        f"install into the same directory and overwrite each other's files. Uninstall it (`pip uninstall {owners[0]}`) "
        "and install Tidegate again, or give Tidegate a virtual environment of its own."
    )


def _blame(name: str, place: Path | None, owners: Mapping[str, list[str]]) -> str | None:
    distributions = owners.get(name, [])
    others = [owner for owner in distributions if owner.lower() != DISTRIBUTION]
    if place is None:
        return f"The package `{name}` is missing: install Tidegate again, into a virtual environment of its own."
    if not others:
        if distributions:
            return None
        return f"The package `{name}` is {place}, which is not Tidegate's: rename it, or run from another directory."
    return (
        f"The package `{name}` is {place}, of the distribution {' or '.join(others)}, which shadows Tidegate's: "
        f"uninstall it (`pip uninstall {others[0]}`), or install Tidegate into a virtual environment of its own."
    )
