"""Giving one event to one function alone: replays, retries, and what sweep gives back."""

from dataclasses import dataclass

from events.bus import Bus
from events.envelope import HEADERS, Envelope


@dataclass(frozen=True, slots=True)
class Invoke:
    """An event for one function. The input is silent: nobody else sees it; what follows goes the normal way."""

    function: str
    envelope: Envelope

    @property
    def subject(self) -> str:
        """Where it is published."""
        return f"invoke.{self.function}.{self.envelope.lane}.{self.envelope.subject}"

    def message_id(self, asker: str) -> str:
        """Of who asks and the event: the event's own id would be swallowed as a duplicate."""
        return f"invoke/{asker}/{self.function}/{self.envelope.id}"

    async def publish(self, bus: Bus, asker: str) -> None:
        """Give it; the same asker's second call is the same.

        Raises:
            BusDown: not confirmed.
        """
        await bus.publish(self.subject, self.envelope.encode(), message_id=self.message_id(asker), headers=HEADERS)


def filter_of(function: str, lane: str = "") -> str:
    """The subjects of what is given to one function alone, in one lane or in all."""
    return f"invoke.{function}.{lane}.>" if lane else f"invoke.{function}.>"
