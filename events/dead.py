"""Dead letters: what a function gave up on, kept with everything a retry needs."""

import base64
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from events.bus import Bus, Message, Stored
from events.envelope import Envelope, derive_id
from events.invoke import Invoke
from events.registry import Function

STREAM = "DEAD"
EVENT_STREAM = "MEDIA"
TRACEBACK_CHARACTERS = 16_000
# Twice, as an event and as base64, and with the rest of the letter it fits into NATS's largest message, 1 MiB.
PAYLOAD_BYTES = 384 * 1024


class DeadLetter(BaseModel):
    """One delivery that was given up.

    Attributes:
        letter_id: computed from the consumer and the input's stream sequence.
        event: the input as JSON; None where it could not be read.
        payload: the message's bytes, base64, where it was no event of MEDIA; None also where it is too large.
        attempts: failures counted; 0 where the process died with it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    letter_id: str
    function: str
    functionversion: str
    stream: str
    sequence: int
    subject: str
    about: str
    lane: str
    attempts: int
    error: str
    message: str
    traceback: str
    time: datetime
    event: dict[str, Any] | None = None
    payload: str | None = None

    @property
    def dead_subject(self) -> str:
        """Where it is published."""
        return f"dead.{self.function}.{self.about}"

    @property
    def message_id(self) -> str:
        """Never the event's own id: the duplicate window is stream-wide and would swallow a second letter."""
        return f"dead/{self.function}/{self.stream}/{self.sequence}"

    @classmethod
    def bury(
        cls,
        function: Function,
        stream: str,
        message: Message,
        error: BaseException,
        attempts: int,
        envelope: Envelope | None,
        lane: str,
    ) -> Self:
        """Write down why and what."""
        kept = len(message.data) <= PAYLOAD_BYTES
        return cls(
            letter_id=derive_id("dead", function.name, stream, str(message.sequence)),
            function=function.name,
            functionversion=function.version,
            stream=stream,
            sequence=message.sequence,
            subject=message.subject,
            about=envelope.subject if envelope else "unknown",
            lane=lane,
            attempts=attempts,
            error=type(error).__name__,
            message=_readable(str(error))[:2000],
            traceback=_readable("".join(traceback.format_exception(error)))[-TRACEBACK_CHARACTERS:],
            time=datetime.now(UTC),
            event=envelope.model_dump(mode="json", exclude_none=True) if envelope and kept else None,
            payload=None
            if (envelope and stream == EVENT_STREAM) or not kept
            else base64.b64encode(message.data).decode(),
        )


def _readable(text: str) -> str:
    """Without the lone surrogates of undecodable file names, which no JSON can hold."""
    return text.encode("utf-8", "replace").decode()


async def letters(bus: Bus, function: str | None = None) -> AsyncIterator[tuple[Stored, DeadLetter]]:
    """Dead letters, oldest first, with the messages that hold them."""
    async for stored in bus.read(STREAM, [f"dead.{function or '*'}.>"]):
        yield stored, DeadLetter.model_validate_json(stored.data)


async def retry(bus: Bus, stored: Stored, letter: DeadLetter, asker: str) -> None:
    """Give the input to its function again, in its own run, then remove the letter.

    An event goes to its function alone. What isn't one (a notification, a tick) is published where it came from; what
    could not be read when it was sent to one function may be readable to a newer version of it.

    Args:
        bus: as an operator.
        stored: the message that holds the letter.
        letter: the letter.
        asker: who asks, different for each asking.

    Raises:
        ValueError: the letter holds nothing that could be given again.
    """
    if letter.payload is not None:
        subject = letter.subject
        if letter.stream == EVENT_STREAM:
            subject = f"invoke.{letter.function}.{letter.lane}.{letter.about}"
        payload = base64.b64decode(letter.payload)
        await bus.publish(subject, payload, message_id=f"retry/{asker}/{letter.letter_id}")
    elif letter.event is not None:
        await Invoke(letter.function, Envelope.model_validate(letter.event)).publish(bus, asker)
    else:
        raise ValueError(f"dead letter {letter.letter_id} holds a message that is too large to be kept")
    await bus.delete(STREAM, stored.sequence)
