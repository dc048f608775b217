"""compose.yaml as Compose's own parser reads it: merged, interpolated, checked against the specification."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.local.binaries import cache_dir

ROOT = Path(__file__).parents[3]
BASE, SMALL = ROOT / "compose.yaml", ROOT / "infra" / "deploy" / "small.yaml"

Model = dict[str, Any]

_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "MIB": 2**20, "G": 2**30}


def parse(*files: Path, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Let compose-go load these files, the later over the earlier; its answer is JSON."""
    parser = cache_dir() / "bin" / "compose_parser"
    assert parser.exists(), "Compose's parser is not built: run `infra/local/bootstrap.sh compose_parser`"
    return subprocess.run(
        [parser, *files],
        cwd=ROOT,
        env=dict(variables or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def model(*files: Path, **variables: str) -> Model:
    """What Compose would start."""
    answer = parse(*(files or (BASE,)), variables=variables)
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr, answer.stderr
    return json.loads(answer.stdout)


def services(of: Model) -> Iterator[tuple[str, Model]]:
    """Every service by name."""
    yield from of["services"].items()


def once(service: Model) -> bool:
    """Whether a service does its work and ends."""
    return service["restart"] == "no"


def limit(service: Model, name: str) -> float:
    """A service's limit of `memory` (bytes), `cpus` or `pids`."""
    found = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(service["deploy"]["resources"]["limits"][name]))
    assert found, service
    return float(found[1]) * _UNITS[found[2].upper()]


def seconds(duration: str) -> float:
    """A duration such as `1m30s`."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))
