"""Schedules: a tick is a message, published by whoever is first for its time slot, worked on by one at a time."""

import asyncio
import time
from datetime import UTC, datetime

import structlog

from events.bus import Bus, BusError, Expect, Message, WrongLastSequence
from events.envelope import Envelope, derive_id, root_span, schema_uri
from events.errors import Unreadable
from events.registry import Function, Tick

STREAM = "TICKS"
MOST_DIGITS = 18
log = structlog.get_logger()


def subject_of(function: str) -> str:
    """Where a function's ticks are published."""
    return f"tick.{function}"


def tick_input(function: str, message: Message) -> tuple[Envelope, Tick]:
    """Read a tick as a function's input; its envelope is the cause of what the function finds.

    Raises:
        Unreadable: it is no tick.
    """
    slot = _slot(message.data)
    if slot < 0:
        raise Unreadable(f"not a tick: {message.data[:40]!r}")
    tick_id = derive_id("tick", function, str(slot))
    envelope = Envelope(
        id=tick_id,
        type="tidegate.tick.v1",
        source="/ticks",
        subject=function,
        time=datetime.now(UTC),
        dataschema=schema_uri("tidegate.tick.v1"),
        traceparent=root_span(tick_id),
        lane="standard",
        run="0",
        part=function,
        data={"slot": slot},
    )
    return envelope, Tick(function, slot)


async def superseded(bus: Bus, function: str, message: Message) -> bool:
    """Whether a newer tick came while this one waited: then that one is enough.

    Raises:
        BusDown: no answer.
    """
    last = await bus.last(STREAM, [subject_of(function)])
    return bool(last) and last[0].sequence > message.sequence


class Ticker:
    """Publishes the ticks of one function; any number of processes may run one."""

    def __init__(self, bus: Bus, function: Function) -> None:
        assert function.every is not None
        self.function = function
        self._every = function.every
        self._bus = bus

    async def run(self) -> None:
        """Tick at each slot until cancelled."""
        while True:
            try:
                await self.tick(int(time.time() // self._every))
            except BusError as error:
                log.warning("tick.failed", function=self.function.name, error=str(error))
            except Exception:
                # Whatever it was, the next slot is another try: without ticks nothing sweeps.
                log.exception("tick.broken", function=self.function.name)
            await asyncio.sleep(self._every - time.time() % self._every)

    async def tick(self, slot: int) -> bool:
        """Publish the slot's tick; False if somebody else was first.

        Raises:
            BusDown: not confirmed.
        """
        subject = subject_of(self.function.name)
        last = await self._bus.last(STREAM, [subject])
        if last and _slot(last[0].data) >= slot:
            return False
        try:
            await self._bus.publish(
                subject, str(slot).encode(), expect=Expect(subject, last[0].sequence if last else 0)
            )
        except WrongLastSequence:
            return False
        return True


def _slot(data: bytes) -> int:
    """The slot a tick names; -1: it is no tick, and the next one takes its place."""
    return int(data) if data.isdigit() and len(data) <= MOST_DIGITS else -1
