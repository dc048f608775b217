"""The real servers, started once for all tests that ask for them."""

from collections.abc import Iterator

import pytest

from infra.local.stack import StackOptions
from infra.local.threaded import ThreadedStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedStack]:
    """MinIO, NATS, MongoDB and ClamAV on free ports with fresh stores and the built-in test signatures.

    Streams and bucket are the test's to provision. Whoever kills or freezes a server starts or thaws it again.
    """
    options = StackOptions(sync_always=False, system_signatures=None)
    with ThreadedStack(tmp_path_factory.mktemp("stack"), options=options) as running:
        yield running
