"""Are the packages of this program ours? Their names are common, and another distribution may bring one too."""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("functions", "events", "schemas", "infra", "gateway", "cli")
DISTRIBUTION = "tidegate"
APART = "install Tidegate into a virtual environment of its own"


def shadowed(names: tuple[str, ...] = PACKAGES) -> list[str]:
    """A sentence for each package that is missing, somebody else's or half so; empty when all of it is ours."""
    home = Path(__file__).resolve().parents[1]
    places = {name: _place(name) for name in names}
    elsewhere = [name for name, place in places.items() if place != home / name]
    missing, mixed = _mixed(home, [name for name in names if name not in elsewhere])
    if not elsewhere and not missing and not mixed:
        return []
    # Reading what every distribution installed takes a while: only once something may be wrong.
    owners = packages_distributions()
    others = {name: _others(owners.get(name, ())) for name in names}
    found = [_blame(name, places[name], others[name]) for name in elsewhere if others[name] or name not in owners]
    found += [_shared(home / name, others[name]) for name in mixed if others[name]]
    found += [_incomplete(home, name, file) for name, file in missing.items() if not others[name]]
    return found


def _place(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.origin:
        return Path(spec.origin).resolve().parent
    return next((Path(each).resolve() for each in spec.submodule_search_locations or ()), None)


def _mixed(home: Path, names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Packages that lack one of our modules, with its name, and those whose modules are not just the ones we installed.

    Installers write several distributions into one folder without a word, whoever comes last over the others, and
    uninstalling one takes away what they had in common. In a checkout there is no list to compare with.
    """
    try:
        ours = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return {}, []
    if Path(str(ours.locate_file(""))).resolve() != home:
        return {}, []
    installed = {str(file): file.size for file in ours.files or () if file.suffix == ".py"}
    missing: dict[str, str] = {}
    mixed: list[str] = []
    for name in names:
        wanted = {file: size for file, size in installed.items() if file.startswith(f"{name}/")}
        if not wanted:
            continue
        present = {path.relative_to(home).as_posix(): path.stat().st_size for path in (home / name).rglob("*.py")}
        if lacking := sorted(wanted.keys() - present.keys()):
            missing[name] = lacking[0]
        if present != wanted:
            mixed.append(name)
    return missing, mixed


def _others(owners: Sequence[str]) -> list[str]:
    return [owner for owner in dict.fromkeys(owners) if owner.lower() != DISTRIBUTION]


def _blame(name: str, place: Path | None, others: Sequence[str]) -> str:
    if place is None:
        return f"The package `{name}` is missing: install Tidegate again, into a virtual environment of its own."
    if not others:
        return f"The package `{name}` is {place}, which is not Tidegate's: rename it, or run from another directory."
    return (
        f"The package `{name}` is {place}, of the distribution {_named(others)}, which shadows Tidegate's: "
        f"uninstall it (`pip uninstall {others[0]}`), or {APART}."
    )


def _shared(place: Path, others: Sequence[str]) -> str:
    return (
        f"The package `{place.name}` in {place.parent} is mixed with that of the distribution {_named(others)}, and "
        f"each wrote over the other's files: {APART}; or uninstall that one (`pip uninstall {others[0]}`), then "
        "install Tidegate again (`pip install --force-reinstall --no-deps tidegate`)."
    )


def _incomplete(home: Path, name: str, file: str) -> str:
    return (
        f"The package `{name}` is incomplete: {home / file} is missing, perhaps since another distribution was "
        "uninstalled: install Tidegate again (`pip install --force-reinstall --no-deps tidegate`)."
    )


def _named(others: Sequence[str]) -> str:
    """The distributions, each with those that brought it along: nobody remembers having installed it."""
    named: list[str] = []
    for other in others:
        asking = sorted(
            each.name
            for each in distributions()
            if any(_project(need) == _project(other) for need in each.requires or ())
        )
        named.append(f"{other} (required by {', '.join(asking)})" if asking else other)
    return " or ".join(named)


def _project(requirement: str) -> str:
    """The normalized name that a requirement begins with (PEP 503, PEP 508)."""
    name = re.match(r"[A-Za-z0-9._-]*", requirement)
    return re.sub(r"[-_.]+", "-", name[0] if name else "").lower()
