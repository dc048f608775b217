"""Are the packages of this program ours? Their names are common, and another distribution may shadow one."""

from collections.abc import Mapping
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("functions", "events", "schemas", "infra", "gateway", "cli")
DISTRIBUTION = "tidegate"


def shadowed(names: tuple[str, ...] = PACKAGES) -> list[str]:
    """A sentence for each package that is missing or somebody else's; empty when all lie beside this one."""
    home = Path(__file__).resolve().parents[1]
    foreign = {name: place for name in names if (place := _place(name)) != home / name}
    if not foreign:
        return []
    # Reading what every distribution installed takes a while: only once something may be wrong.
    owners = packages_distributions()
    return [sentence for name, place in foreign.items() if (sentence := _blame(name, place, owners))]


def _place(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.origin:
        return Path(spec.origin).resolve().parent
    return next((Path(each).resolve() for each in spec.submodule_search_locations or ()), None)


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
