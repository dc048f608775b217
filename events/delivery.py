"""One delivery's life: decode, try, hold, fail, publish what follows, acknowledge.

What is returned is published before the input is acknowledged, so a death in between means running again, and running
twice is running once: ids and names are computed from the input. Three ways not to succeed: an outcome about the input
(`Application.outcomes`), `Unavailable` about the world, anything else about us.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import structlog

from events import metrics
from events.application import Application
from events.attempts import Attempts, Policy, Trial
from events.budget import Budget
from events.bus import Bus, BusDown, BusError, Message
from events.dead import DeadLetter
from events.dependencies import Dependencies
from events.emit import Emitter
from events.envelope import Envelope
from events.errors import Unavailable, Unreadable, reason
from events.failpoints import failpoint
from events.gate import Gate
from events.patience import steadily, within
from events.reading import Reader
from events.registry import Function
from events.ticks import superseded

log = structlog.get_logger()

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Process:
    """What all functions of one process share."""

    bus: Bus
    application: Application
    policy: Policy
    dependencies: Dependencies
    attempts: Attempts
    budget: Budget
    gate: Gate = field(default_factory=Gate)


@dataclass(slots=True)
class Delivery:
    """A message while it is worked on. `message` is replaced when NATS delivers it again meanwhile.

    Attributes:
        consumer: the name of the durable consumer it came from.
        lane: that consumer's lane, if the function has any.
        beats_until: heartbeats go on until this moment of the monotonic clock: forever while it waits or is held, to
            the end of its timeout while its handler runs.
    """

    message: Message
    consumer: str
    lane: str = ""
    beats_until: float = FOREVER
    trial: Trial | None = None

    @property
    def so_far(self) -> Trial:
        """What went wrong with it so far."""
        return self.trial or Trial()


class Input(NamedTuple):
    """A delivery that was read."""

    delivery: Delivery
    envelope: Envelope
    event: Any


class GaveUp(Exception):
    """The process died with a delivery that ran alone."""


class Carrier:
    """Carries deliveries of one function from message to acknowledgement."""

    def __init__(self, function: Function, stream: str, process: Process, on_hold: Callable[[int], None]) -> None:
        self.function = function
        self.stream = stream
        self._process = process
        self._application = process.application
        self._emitter = Emitter(function, process.bus, process.application)
        self._on_hold = on_hold
        self._reader = Reader(function, process.application)
        self._log = log.bind(function=function.name)
        self._seconds = metrics.SECONDS.labels(function.name)

    async def carry(self, deliveries: Sequence[Delivery]) -> None:
        """Work on one delivery, or on several at once where the function takes batches."""
        for delivery in deliveries:
            if delivery.message.delivered > 1:
                await self._recall(delivery)
            elif self.function.every is not None and await self._superseded(delivery):
                await self._finish([delivery], "superseded")
                return
        suspects = [delivery for delivery in deliveries if self._suspect(delivery)]
        await self._work([delivery for delivery in deliveries if not any(delivery is each for each in suspects)])
        for delivery in suspects:
            if delivery.so_far.alone:
                await self._bury(delivery, None, GaveUp("the process died while this delivery ran alone in it"))
            else:
                await self._work([delivery], alone=True)

    def _suspect(self, delivery: Delivery) -> bool:
        trial = delivery.so_far
        return trial.alone or trial.unexplained(delivery.message.delivered) >= self._process.policy.suspect_after

    async def _work(self, deliveries: list[Delivery], *, alone: bool = False) -> None:
        """Try until it ends: acknowledged, handed back with a delay, or dead."""
        inputs: list[Input] = []
        blamed = False
        while deliveries:
            try:
                async with self._alone(deliveries[0]) if alone else self._process.gate.together():
                    inputs = await self._read(deliveries)
                    deliveries = [each.delivery for each in inputs]
                    outcome = await self._try(inputs) if inputs else ""
            except (Unavailable, BusDown, *self._application.unavailable) as error:
                dependency = "nats" if isinstance(error, BusDown) else str(getattr(error, "dependency", "unknown"))
                if not await self._hold(dependency, len(inputs)):
                    blamed = False
                elif not blamed:
                    blamed = True
                else:
                    # The dependency answers and the call fails, twice in a row: it was the input.
                    await self._failed(inputs, error, alone=alone)
                    return
            except Exception as error:  # noqa: BLE001  anything else is about us: counted, retried, dead-lettered
                await self._failed(inputs, error, alone=alone)
                return
            else:
                if deliveries:
                    await self._finish(deliveries, outcome)
                return

    @asynccontextmanager
    async def _alone(self, delivery: Delivery) -> AsyncGenerator[None]:
        """Nobody else runs in this process; the delivery is marked, so that a death is known to be its doing."""
        trial = delivery.so_far
        explained = trial.model_copy(update={"cleared": delivery.message.delivered - 1 - trial.failures})
        self._log.warning("delivery.suspect", sequence=delivery.message.sequence, delivered=delivery.message.delivered)
        async with self._process.gate.alone():
            await self._save(delivery, explained.model_copy(update={"alone": True}))
            try:
                yield
            finally:
                await self._save(delivery, explained)
                failpoint(f"{self.function.name}.cleared")

    async def _read(self, deliveries: Sequence[Delivery]) -> list[Input]:
        """Decode; what can't be is buried at once."""
        inputs: list[Input] = []
        for delivery in deliveries:
            try:
                inputs.append(Input(delivery, *self._reader.read(delivery.message)))
            except Unreadable as error:
                await self._bury(delivery, None, error)
        return inputs

    async def _try(self, inputs: Sequence[Input]) -> str:
        """Run the handler once and publish what it returns; says how it went."""
        function, (_, cause, event) = self.function, inputs[0]
        failpoint(f"{function.name}.taken")
        context = self._application.context(function, cause)
        argument = [each.event for each in inputs] if function.batch else event
        outcome = "done"
        try:
            outputs = await self._run(inputs, argument, context)
        except tuple(self._application.outcomes) as error:
            if function.batch:
                raise
            outcome, outputs = "outcome", [await self._outcome(error, cause, event)]
        failpoint(f"{function.name}.handled")
        for output in outputs:
            if output is not None:
                await self._emitter.emit(output, cause)
                failpoint(f"{function.name}.published")
        return outcome

    async def _run(self, inputs: Sequence[Input], argument: Any, context: Any) -> Sequence[Any]:
        """The handler with its share of the CPU budget: its time begins when it has that."""
        function = self.function
        async with self._process.budget.share(function):
            started = time.monotonic()
            for each in inputs:
                each.delivery.beats_until = started + function.timeout
            try:
                call = self._call(argument, context, inputs[0].envelope)
                return await within(function.timeout, call, function.name)
            finally:
                for each in inputs:
                    each.delivery.beats_until = FOREVER
                self._seconds.observe(time.monotonic() - started)

    async def _call(self, argument: Any, context: Any, cause: Envelope) -> Sequence[Any]:
        try:
            return await self._handle(argument, context, cause)
        except ExceptionGroup as group:
            raise reason(group) from group

    async def _handle(self, argument: Any, context: Any, cause: Envelope) -> Sequence[Any]:
        if not self.function.streams:
            outputs = await self.function.handler(argument, context)
            return cast("Sequence[Any]", outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        async with aclosing(cast("AsyncGenerator[Any]", self.function.handler(argument, context))) as outputs:
            async for output in outputs:
                await self._emitter.emit(output, cause)
                failpoint(f"{self.function.name}.published")
        return []

    async def _outcome(self, error: Exception, cause: Envelope, event: Any) -> Any:
        outcomes = self._application.outcomes
        outcome = next(outcomes[kind] for kind in type(error).__mro__ if kind in outcomes)
        self._log.info("delivery.outcome", about=cause.subject, outcome=str(error))
        return await outcome(self.function, cause, event, error)

    async def _hold(self, dependency: str, count: int) -> bool:
        """Wait for a dependency, outside the gate: others go on. True if it answered at once."""
        held = metrics.HELD.labels(self.function.name, dependency)
        self._on_hold(1)
        held.inc(count)
        try:
            return await self._process.dependencies.wait(dependency)
        finally:
            held.dec(count)
            self._on_hold(-1)

    async def _failed(self, inputs: Sequence[Input], error: Exception, *, alone: bool) -> None:
        """Count a failure; hand back with a delay, or give up. Several at once are tried one by one first."""
        if len(inputs) > 1:
            for each in inputs:
                await self._work([each.delivery], alone=alone)
            return
        delivery, envelope, event = inputs[0]
        failures = delivery.so_far.failures + 1
        limit = self.function.attempts or self._process.policy.attempts
        self._log.warning(
            "delivery.failed", about=envelope.subject, attempt=failures, of=limit, error=repr(error)[:500]
        )
        if failures >= limit:
            await self._bury(delivery, envelope, error, failures, event)
            return
        await self._save(delivery, delivery.so_far.model_copy(update={"failures": failures}))
        failpoint(f"{self.function.name}.counted")
        await delivery.message.nak(self._process.policy.delay(failures))
        self._count("retried")

    async def _bury(
        self, delivery: Delivery, envelope: Envelope | None, error: Exception, attempts: int = 0, event: Any = None
    ) -> None:
        """Give up: the dead letter first, then the event that says so, then the acknowledgement."""
        if envelope is None and not isinstance(error, Unreadable):
            try:
                envelope, event = self._reader.read(delivery.message)
            except Unreadable as unreadable:
                error = unreadable
        lane = envelope.lane if envelope else delivery.lane or "standard"
        letter = DeadLetter.bury(self.function, self.stream, delivery.message, error, attempts, envelope, lane)
        self._log.error("delivery.dead", about=letter.about, letter=letter.letter_id, error=repr(error)[:500])
        payload = letter.model_dump_json(exclude_none=True).encode()
        await steadily(lambda: self._process.bus.publish(letter.dead_subject, payload, message_id=letter.message_id))
        failpoint(f"{self.function.name}.buried")
        if envelope is not None and self.function.announces_failure:
            await self._announce(envelope, event, letter)
            failpoint(f"{self.function.name}.announced")
        delivery.trial = delivery.so_far
        await self._finish([delivery], "dead")

    async def _announce(self, envelope: Envelope, event: Any, letter: DeadLetter) -> None:
        try:
            failed = self._application.failed(self.function, envelope, event, letter)
            if failed is not None:
                await self._emitter.emit(failed, envelope)
        except BusError:
            raise
        except Exception:  # noqa: BLE001  logged with its traceback
            # The letter says it all; raising would bring the delivery back for ever.
            self._log.exception("delivery.failure_unsaid", about=letter.about, letter=letter.letter_id)

    async def _finish(self, deliveries: Sequence[Delivery], outcome: str) -> None:
        """Acknowledge.

        A first delivery isn't confirmed: its acknowledgement, lost, means running again, which is running once, and
        confirming each would be a third of all messages. What went wrong before is forgotten only after confirmation.
        """
        *others, last = deliveries
        sure = any(delivery.trial is not None for delivery in deliveries)
        try:
            for delivery in others:
                await delivery.message.ack(confirmed=False)
                failpoint(f"{self.function.name}.partly_acked")
            await last.message.ack(confirmed=sure)
        except BusDown:
            # They come again, and running twice is running once.
            self._count("unconfirmed", len(deliveries))
            return
        failpoint(f"{self.function.name}.acked")
        for delivery in deliveries:
            if delivery.trial is not None:
                delivery.trial = None
                consumer, sequence = delivery.consumer, delivery.message.sequence
                await steadily(lambda c=consumer, s=sequence: self._process.attempts.clear(c, self.stream, s))
                failpoint(f"{self.function.name}.forgotten")
        self._count(outcome, len(deliveries))

    async def _superseded(self, delivery: Delivery) -> bool:
        return await steadily(lambda: superseded(self._process.bus, self.function.name, delivery.message))

    async def _recall(self, delivery: Delivery) -> None:
        consumer, sequence = delivery.consumer, delivery.message.sequence
        delivery.trial = await steadily(lambda: self._process.attempts.load(consumer, self.stream, sequence))

    async def _save(self, delivery: Delivery, trial: Trial) -> None:
        delivery.trial = trial
        consumer, sequence = delivery.consumer, delivery.message.sequence
        await steadily(lambda: self._process.attempts.save(consumer, self.stream, sequence, trial))

    def _count(self, outcome: str, deliveries: int = 1) -> None:
        metrics.DELIVERIES.labels(self.function.name, outcome).inc(deliveries)
