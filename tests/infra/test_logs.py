"""Where logs go."""

import io

import pytest
import structlog

from infra import logs
from infra.settings import Settings


def test_standard_error_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log line goes to standard error as it is by then: a closed one of before stops nobody's work."""
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", first)
    logs.configure(Settings(log_format="json"))
    log = structlog.get_logger()
    log.info("first.line")
    first.close()
    monkeypatch.setattr("sys.stderr", second)
    log.info("second.line", media_id="m1")
    assert '"event": "second.line"' in second.getvalue()
    assert '"media_id": "m1"' in second.getvalue()
