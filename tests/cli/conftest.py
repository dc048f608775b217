"""One whole installation for all tests of the command line: `tidegate up`, as a person runs it."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.state import StackInfo, load_stack
from tests.cli.running import Answer, tidegate, up
from tests.samples.documents import pdf


@dataclass(frozen=True)
class Installed:
    """A running installation."""

    data: Path

    @property
    def info(self) -> StackInfo:
        """Addresses and credentials."""
        return load_stack(self.data)

    def tidegate(self, *arguments: str | Path, **variables: str) -> Answer:
        """Run a command against it."""
        return tidegate(*arguments, "--data", self.data, variables=variables)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installed]:
    """A stack with functions and gateway, started with `tidegate up`."""
    data = tmp_path_factory.mktemp("installed") / "data"
    with up(data):
        yield Installed(data)


@pytest.fixture(scope="session")
def ready(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A document that was uploaded and is ready: its line of `tidegate upload --json`."""
    file = tmp_path_factory.mktemp("files") / "good.pdf"
    file.write_bytes(pdf(2))
    answer = installed.tidegate("upload", file, "--json")
    assert answer.code == 0, answer
    return answer.json["files"][0]
