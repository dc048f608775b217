"""Imports point one way, so that each folder can be understood without those that use it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("functions", "events", "schemas", "infra", "gateway", "cli", "bench", "tests")
MAY_IMPORT = {
    "functions": {"events", "schemas", "infra"},
    "gateway": {"events", "schemas", "infra"},
    "cli": {"events", "schemas", "infra"},
    "infra": {"schemas"},
    "events": set[str](),
    "schemas": set[str](),
}
MODULES = [path for folder in MAY_IMPORT for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports, wherever in it, for types alone included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import stays within its folder.
            names.add("" if node.level else (node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    """A module imports its own folder's modules and those of the folders below it."""
    folder = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT[folder] | {folder}
    wrong = imported(path) & set(FOLDERS) - allowed
    assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}; {folder} may import {sorted(allowed)}"


def test_every_folder_has_modules() -> None:
    """The rule is held over all folders: none was renamed away from it."""
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(MAY_IMPORT)
