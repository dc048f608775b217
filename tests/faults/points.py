"""The failpoints, enumerated from the code: every function passes the runtime's, and has its own."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from events.registry import load

ROOT = Path(__file__).parents[2]
FOLDERS = ("events", "functions", "infra")

EFFECTS = frozenset({"put", "copy", "delete", "write", "merge_record", "publish", "emit", "ack", "nak"})
"""Calls that change something outside the process, by name."""


def points() -> set[str]:
    """Every point there is: `scan.taken`, `promote.copied` and so on."""
    found: set[str] = set()
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for call in _calls(ast.parse(path.read_text()), {"failpoint"}):
                found |= set(_names(call.args[0], path))
    return found


def unreachable() -> dict[str, str]:
    """Points that a function can't pass, and why, from what it declares of itself."""
    reasons: dict[str, str] = {}
    for function in load():
        if not function.outputs:
            reasons[f"{function.name}.published"] = "it emits nothing"
        if not function.announces_failure:
            reasons[f"{function.name}.announced"] = "its dead letters are not announced"
        if not function.batch:
            reasons[f"{function.name}.partly_acked"] = "it acknowledges one delivery at a time"
    return reasons


def unguarded(path: Path, *more: str) -> list[str]:
    """Side effects (`more` names more of them) in one body of code, the second right after the first: no point between.

    Returns:
        `body: first, second` of each pair.
    """
    found: list[str] = []
    for body in ast.walk(ast.parse(path.read_text())):
        if not isinstance(body, ast.AsyncFunctionDef):
            continue
        marks = sorted(
            (call.lineno, call.col_offset, name)
            for call in _calls(body, EFFECTS | {"failpoint", *more})
            if (name := _called(call)) is not None
        )
        found += [
            f"{body.name}: {one}, {other}"
            for (_, _, one), (_, _, other) in pairwise(marks)
            if one != "failpoint" and other != "failpoint"
        ]
    return found


def _names(argument: ast.expr, path: Path) -> Iterator[str]:
    match argument:
        case ast.Constant(value=str(name)):
            yield name
        case ast.JoinedStr(values=[ast.FormattedValue(), ast.Constant(value=str(suffix))]):
            yield from (f"{each.name}{suffix}" for each in load())
        case _:
            raise AssertionError(f"{path}: not a point's name: {ast.dump(argument)}")


def _calls(tree: ast.AST, names: frozenset[str] | set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in names:
            yield node


def _called(call: ast.Call) -> str | None:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None
