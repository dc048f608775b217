"""What a function says while it works."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from pydantic_core import from_json

from infra.context import Context, Services


@dataclass
class _Signals:
    """Services of which only the signals are there."""

    said: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def signal(self, subject: str, data: bytes) -> None:
        """Keep what is said."""
        assert subject == "progress.m1"
        self.said.append(from_json(data))


async def test_progress_is_said_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes less than half a second says nothing, and nothing says more than twice a second."""
    now = 100.0
    monkeypatch.setattr("infra.context.time.monotonic", lambda: now)
    signals = _Signals()
    working = Context(cast("Services", signals), "scan", "m1", "e1", "0", "standard", now)
    for step in range(251):
        now = 100 + step / 100
        await working.progress(step, 250, part="scan")
    assert [each["done"] for each in signals.said] == [50, 100, 150, 200, 250]
    assert {(each["function"], each["total"], each["part"]) for each in signals.said} == {("scan", 250, "scan")}
