"""Publishing what follows from an input: each output with an id computed from its cause."""

from typing import Any, cast

from events import metrics
from events.application import Application, Outgoing
from events.bus import Bus, Expect, WrongLastSequence
from events.envelope import HEADERS, Envelope, follow
from events.invoke import Invoke
from events.patience import steadily
from events.registry import Because, First, Function


class Emitter:
    """Publishes the outputs of one function."""

    def __init__(self, function: Function, bus: Bus, application: Application) -> None:
        self._function = function
        self._bus = bus
        self._application = application

    async def emit(self, output: Any, cause: Envelope) -> None:
        """Publish one output; returns when it is stored, however long the bus is away.

        Raises:
            ValueError: it is too large, or can't be put into words.
        """
        expect = None
        first = cast("First[Any]", output) if isinstance(output, First) else None
        if first is not None:
            output, expect = first.event, Expect(first.among)
        if isinstance(output, Because):
            because = cast("Because[Any]", output)
            output, cause = because.event, because.cause
        outgoing = self._encode(output, cause)
        try:
            await steadily(
                lambda: self._bus.publish(
                    outgoing.subject,
                    outgoing.data,
                    message_id=outgoing.message_id,
                    headers=outgoing.headers,
                    expect=expect,
                )
            )
        except WrongLastSequence:
            assert first is not None
            follows = await first.otherwise()
            if follows is not None:
                await self.emit(follows, cause)
            return
        metrics.EVENTS.labels(".".join(outgoing.subject.split(".")[1:2])).inc()

    def _encode(self, output: Any, cause: Envelope) -> Outgoing:
        if isinstance(output, Invoke):
            return Outgoing(output.subject, output.envelope.encode(), output.message_id(cause.id), HEADERS)
        encode = self._application.encoders.get(cast("type[Any]", type(output)))
        if encode is not None:
            return encode(output, cause)
        envelope = follow(output, cause=cause, function=self._function.name, version=self._function.version)
        return Outgoing(self._application.subject(output, envelope), envelope.encode(), envelope.id, HEADERS)
