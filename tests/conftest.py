"""The real servers, started once for all tests that ask for them."""

from collections.abc import Generator

import pytest

from infra.local.stack import StackOptions
from infra.local.threaded import ThreadedStack

# Tests expect the built-in signatures, and SIGKILL loses nothing that NATS wrote without waiting for the disk.
OPTIONS = StackOptions(sync_always=False, system_signatures=None)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[ThreadedStack]:
    """MinIO, NATS, MongoDB and ClamAV on free ports with fresh stores and the built-in test signatures.

    Streams and bucket are the test's to provision. Whoever kills or freezes a server starts or thaws it again.
    """
    with ThreadedStack(tmp_path_factory.mktemp("stack"), options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="session")
def spare_stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[ThreadedStack]:
    """Another one, for tests that remake streams and the bucket or leave no server in peace."""
    with ThreadedStack(tmp_path_factory.mktemp("spare"), options=OPTIONS) as running:
        yield running
