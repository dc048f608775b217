"""A file of the demonstration on its way."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import from_json

from cli.outcome import outcome
from cli.upload import Result
from schemas.document import Fold


@dataclass(slots=True)
class Item:
    """A file on its way.

    Attributes:
        file: Where it lies.
        name: What the display calls it.
        expected: States of which it should reach one.
        codes: Codes of which a rejection should have one; none: any.
    """

    file: Path
    name: str
    expected: tuple[str, ...]
    codes: tuple[str, ...] = ()
    media_id: str = ""
    fold: Fold = field(default_factory=lambda: Fold(""))
    sent_at: float = 0.0
    over_at: float = 0.0
    refusal: str = ""
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, text: bytes, now: float) -> None:
        """Take in one event."""
        self.fold.add(from_json(text))
        reached = outcome(self.fold)
        if reached.over:
            self.over_at = self.over_at or now
            # What is needless is deleted, what is quarantined is put away: then nothing more happens.
            if reached.state == "failed" or any(part.startswith("discard") for part in self.fold.cells):
                self.settled.set()

    @property
    def right(self) -> bool:
        """Whether it ended as it should."""
        reached = outcome(self.fold)
        return reached.state in self.expected and (not self.codes or reached.code in self.codes)

    def result(self) -> Result:
        """Its line."""
        if self.refusal:
            return Result(self.name, None, "refused", self.refusal, None, "")
        reached = outcome(self.fold)
        seconds = self.over_at - self.sent_at if self.over_at else None
        return Result(self.name, self.media_id, reached.state, reached.why, seconds, reached.where)
