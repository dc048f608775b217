"""One delivery's life: decode, try, hold, fail, publish what follows, acknowledge.

What is returned is published before the input is acknowledged, so a death in between means running again, and running
twice is running once: ids and names are computed from the input. Three ways not to succeed: an outcome about the input
(`Application.outcomes`), `Unavailable` about the world, anything else about us.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import structlog
from pydantic_core import from_json

from events import metrics
from events.application import Application, Outgoing
from events.attempts import Attempts, Policy, Trial
from events.bus import Bus, BusDown, Expect, Message, StreamMissing, WrongLastSequence
from events.dead import DeadLetter
from events.dependencies import Dependencies
from events.envelope import HEADERS, Envelope, follow
from events.errors import Unavailable, Unreadable
from events.failpoints import failpoint
from events.gate import Gate
from events.invoke import Invoke
from events.registry import Because, First, Function
from events.ticks import tick_input

log = structlog.get_logger()
T = TypeVar("T")

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Process:
    """What all functions of one process share."""

    bus: Bus
    application: Application
    policy: Policy
    dependencies: Dependencies
    attempts: Attempts
    gate: Gate = field(default_factory=Gate)


@dataclass(slots=True)
class Delivery:
    """A message while it is worked on. `message` is replaced when NATS delivers it again meanwhile.

    Attributes:
        beats_until: heartbeats go on until this moment of the monotonic clock: forever while it waits or is held, to
            the end of its timeout while its handler runs.
    """

    message: Message
    beats_until: float = FOREVER
    trial: Trial | None = None


class GaveUp(Exception):
    """The process died with a delivery that ran alone."""


class Carrier:
    """Carries deliveries of one function from message to acknowledgement."""

    def __init__(self, function: Function, stream: str, process: Process, on_hold: Callable[[int], None]) -> None:
        self.function = function
        self.stream = stream
        self._process = process
        self._bus = process.bus
        self._application = process.application
        self._on_hold = on_hold
        source = [
            process.application.sources[model] for model in function.inputs if model in process.application.sources
        ]
        self._source = source[0] if source else None
        self._log = log.bind(function=function.name)
        self._seconds = metrics.SECONDS.labels(function.name)

    async def carry(self, deliveries: Sequence[Delivery]) -> None:
        """Work on one delivery, or on several at once where the function takes batches."""
        suspects: list[Delivery] = []
        fresh: list[Delivery] = []
        for delivery in deliveries:
            if delivery.message.delivered > 1:
                delivery.trial = await self._steadily(
                    lambda d=delivery: self._process.attempts.load(self.function.name, self.stream, d.message.sequence)
                )
            (suspects if self._suspect(delivery) else fresh).append(delivery)
        if fresh:
            await self._process.gate.enter()
            try:
                await self._work(fresh)
            finally:
                self._process.gate.leave()
        for delivery in suspects:
            await self._alone(delivery)

    def _suspect(self, delivery: Delivery) -> bool:
        trial = delivery.trial or Trial()
        return trial.alone or trial.unexplained(delivery.message.delivered) >= self._process.policy.suspect_after

    async def _alone(self, delivery: Delivery) -> None:
        trial = delivery.trial or Trial()
        if trial.alone:
            await self._bury(delivery, None, GaveUp("the process died while this delivery ran alone in it"))
            return
        explained = trial.model_copy(update={"cleared": delivery.message.delivered - 1 - trial.failures})
        self._log.warning("delivery.suspect", sequence=delivery.message.sequence, delivered=delivery.message.delivered)
        async with self._process.gate.alone():
            await self._save(delivery, explained.model_copy(update={"alone": True}))
            delivery.trial = explained
            try:
                await self._work([delivery], alone=True)
            finally:
                if delivery.trial is explained:
                    # Still there: handed back by a drain. It did not kill its process.
                    await self._save(delivery, explained)

    async def _work(self, deliveries: list[Delivery], *, alone: bool = False) -> None:
        """Decode, then try until it ends: acknowledged, handed back with a delay, or dead."""
        inputs: list[tuple[Delivery, Envelope, Any]] = []
        for delivery in deliveries:
            try:
                inputs.append((delivery, *self._decode(delivery.message)))
            except Unreadable as error:
                await self._bury(delivery, None, error)
        if not inputs:
            return
        failpoint(f"{self.function.name}.taken")
        blamed = False
        while True:
            try:
                await self._try(inputs)
            except (Unavailable, *self._application.unavailable) as error:
                dependency = str(getattr(error, "dependency", "unknown"))
                if not await self._hold(dependency, deliveries, alone=alone):
                    blamed = False
                elif blamed:
                    await self._failed(inputs, error, alone=alone)
                    return
                else:
                    blamed = True
            except Exception as error:  # noqa: BLE001  anything else is about us: counted, retried, dead-lettered
                await self._failed(inputs, error, alone=alone)
                return
            else:
                await self._finish([delivery for delivery, _, _ in inputs])
                return

    def _decode(self, message: Message) -> tuple[Envelope, Any]:
        if self.function.every is not None:
            return tick_input(self.function.name, message)
        if self._source is not None and not message.subject.startswith("invoke."):
            return self._source.decode(message)
        envelope = Envelope.decode(message.data)
        if self.function.batch:
            # As it came, with fields that this version doesn't know.
            return envelope, from_json(message.data)
        model = self._application.models.get(envelope.type)
        if model is None:
            raise Unreadable(f"no model for {envelope.type}")
        try:
            return envelope, model.model_validate(envelope.data)
        except ValueError as error:
            raise Unreadable(f"not a valid {envelope.type}: {error}") from error

    async def _try(self, inputs: Sequence[tuple[Delivery, Envelope, Any]]) -> None:
        """Run the handler once and publish what it returns."""
        function, (_, cause, event) = self.function, inputs[0]
        context = self._application.context(function, cause)
        argument = [event for _, _, event in inputs] if function.batch else event
        started = time.monotonic()
        for delivery, _, _ in inputs:
            delivery.beats_until = started + function.timeout
        try:
            async with asyncio.timeout(function.timeout):
                if function.streams:
                    async for output in cast("AsyncIterator[Any]", function.handler(argument, context)):
                        await self._publish(output, cause)
                    outputs = None
                else:
                    outputs = await function.handler(argument, context)
        except TimeoutError as error:
            raise TimeoutError(f"{function.name} did not finish within {function.timeout:g} s") from error
        except tuple(self._application.outcomes) as error:
            outputs = await self._outcome(error, cause, event)
        finally:
            for delivery, _, _ in inputs:
                delivery.beats_until = FOREVER
            self._seconds.observe(time.monotonic() - started)
        failpoint(f"{function.name}.handled")
        for output in outputs if isinstance(outputs, (list, tuple)) else [outputs]:  # pyright: ignore[reportUnknownVariableType]
            if output is not None:
                await self._publish(output, cause)
                failpoint(f"{function.name}.published")

    async def _outcome(self, error: Exception, cause: Envelope, event: Any) -> Any:
        outcomes = self._application.outcomes
        outcome = next(outcomes[kind] for kind in type(error).__mro__ if kind in outcomes)
        self._log.info("delivery.outcome", about=cause.subject, outcome=str(error))
        return await outcome(self.function, cause, event, error)

    async def _publish(self, output: Any, cause: Envelope) -> None:
        """Publish one output; returns when it is stored, however long NATS is away."""
        expect = None
        first = cast("First[Any]", output) if isinstance(output, First) else None
        if first is not None:
            output, expect = first.event, Expect(first.among)
        if isinstance(output, Because):
            because = cast("Because[Any]", output)
            output, cause = because.event, because.cause
        outgoing = self._encode(output, cause)
        try:
            await self._steadily(
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
                await self._publish(follows, cause)
            return
        metrics.EVENTS.labels(outgoing.subject.split(".", 2)[1]).inc()

    def _encode(self, output: Any, cause: Envelope) -> Outgoing:
        if isinstance(output, Invoke):
            return Outgoing(output.subject, output.envelope.encode(), output.message_id(cause.id), HEADERS)
        encode = self._application.encoders.get(cast("type[Any]", type(output)))
        if encode is not None:
            return encode(output, cause)
        envelope = follow(output, cause=cause, function=self.function.name, version=self.function.version)
        return Outgoing(self._application.subject(output, envelope), envelope.encode(), envelope.id, HEADERS)

    async def _hold(self, dependency: str, deliveries: Sequence[Delivery], *, alone: bool) -> bool:
        """Wait for a dependency without a slot's share of the process; True if it answered at once."""
        held = metrics.HELD.labels(self.function.name, dependency)
        self._on_hold(1)
        held.inc(len(deliveries))
        if not alone:
            self._process.gate.leave()
        try:
            return await self._process.dependencies.wait(dependency)
        finally:
            if not alone:
                await self._process.gate.enter()
            held.dec(len(deliveries))
            self._on_hold(-1)

    async def _failed(self, inputs: list[tuple[Delivery, Envelope, Any]], error: Exception, *, alone: bool) -> None:
        """Count a failure; hand back with a delay, or give up. Several at once are tried one by one first."""
        if len(inputs) > 1:
            for delivery, _, _ in inputs:
                await self._work([delivery], alone=alone)
            return
        delivery, envelope, event = inputs[0]
        failures = (delivery.trial or Trial()).failures + 1
        limit = self.function.attempts or self._process.policy.attempts
        self._log.warning(
            "delivery.failed", about=envelope.subject, attempt=failures, of=limit, error=repr(error)[:500]
        )
        if failures >= limit:
            await self._bury(delivery, envelope, error, failures, event)
            return
        await self._save(delivery, (delivery.trial or Trial()).model_copy(update={"failures": failures}))
        failpoint(f"{self.function.name}.counted")
        await delivery.message.nak(self._process.policy.delay(failures))
        self._count("retried")

    async def _bury(
        self, delivery: Delivery, envelope: Envelope | None, error: Exception, attempts: int = 0, event: Any = None
    ) -> None:
        """Give up: the dead letter first, then the event that says so, then the acknowledgement."""
        if envelope is None and not isinstance(error, Unreadable):
            try:
                envelope, event = self._decode(delivery.message)
            except Unreadable as unreadable:
                error = unreadable
        letter = DeadLetter.bury(self.function, self.stream, delivery.message, error, attempts, envelope)
        self._log.error("delivery.dead", about=letter.about, letter=letter.letter_id, error=repr(error)[:500])
        await self._steadily(
            lambda: self._bus.publish(
                letter.dead_subject,
                letter.model_dump_json(exclude_none=True).encode(),
                message_id=letter.message_id,
            )
        )
        failpoint(f"{self.function.name}.buried")
        if envelope is not None and self.function.announces_failure:
            failed = self._application.failed(self.function, envelope, event, letter)
            if failed is not None:
                await self._publish(failed, envelope)
        delivery.trial = delivery.trial or Trial()
        await self._finish([delivery], outcome="dead")

    async def _finish(self, deliveries: Sequence[Delivery], outcome: str = "done") -> None:
        *others, last = deliveries
        try:
            for delivery in others:
                await delivery.message.ack(confirmed=False)
            await last.message.ack()
        except BusDown:
            # They come again, and running twice is running once.
            self._count("unconfirmed", len(deliveries))
            return
        failpoint(f"{self.function.name}.acked")
        for delivery in deliveries:
            if delivery.trial is not None:
                delivery.trial = None
                await self._steadily(
                    lambda d=delivery: self._process.attempts.clear(self.function.name, self.stream, d.message.sequence)
                )
        self._count(outcome, len(deliveries))

    async def _save(self, delivery: Delivery, trial: Trial) -> None:
        delivery.trial = trial
        await self._steadily(
            lambda: self._process.attempts.save(self.function.name, self.stream, delivery.message.sequence, trial)
        )

    async def _steadily(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call to the bus until it is confirmed: a bus that is away is nobody's failure."""
        pause = 0.1
        while True:
            try:
                return await call()
            except (BusDown, StreamMissing) as error:
                self._log.warning("bus.down", error=str(error))
                await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311  jitter
                pause = min(pause * 2, 2.0)

    def _count(self, outcome: str, deliveries: int = 1) -> None:
        metrics.DELIVERIES.labels(self.function.name, outcome).inc(deliveries)
