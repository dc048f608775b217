"""The real servers, started once for all tests that ask for them."""

import gc
import signal
from collections.abc import Generator
from contextlib import contextmanager

import pytest
import structlog

from infra.local.stack import StackOptions
from infra.local.threaded import ThreadedStack

# Tests expect the built-in signatures, and SIGKILL loses nothing that NATS wrote without waiting for the disk.
OPTIONS = StackOptions(sync_always=False, system_signatures=None)


def pytest_configure() -> None:
    """Let programs that tests start hear Ctrl-C: a shell that runs the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _no_finalizers() -> Generator[None]:
    """Keep garbage collection out of pytest's parser, which it uses to show a failure and to import what it rewrites.

    A finalizer that raises is shown by parsing as well, and before Python 3.12.2 a parser inside a parser is a
    SystemError that ends the run without a word on what failed: https://github.com/python/cpython/issues/106905.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failure."""
    with _no_finalizers():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary() -> Generator[None]:
    """Show all of them; hypothesis is imported here where no test did."""
    with _no_finalizers():
        return (yield)


@pytest.fixture(autouse=True)
def _logging() -> Generator[None]:
    """What a program that a test runs in this process makes of logging ends with the test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


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
