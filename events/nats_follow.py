"""Reading a stream as it grows: an ordered push consumer, made anew after a gap, a silence or a reconnect.

It costs the server nothing while nothing happens, and needs the right to create consumers on the stream, which
gateways and operators have. The server stops sending when its flow-control questions stay unanswered; they are
answered when the reader gets to them, so a slow reader holds back its own consumer and needs no memory.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from nats.nuid import NUID

from events.bus import BusDown, BusError, Stored
from events.nats_api import api, moment
from events.nats_link import Link
from events.nats_wire import Received

HEARTBEAT_SECONDS = 5
# Two heartbeats missed: the consumer is gone.
SILENCE_SECONDS = 11
# A consumer whose reader vanished is removed by the server.
INACTIVE_SECONDS = 60
RETRY_SECONDS = 1.0
NANOSECONDS = 1_000_000_000
ADDRESS = "follow"

_names = NUID()


async def follow_stored(link: Link, stream: str, subjects: Sequence[str], start: int) -> AsyncGenerator[Stored]:
    """Messages in order from sequence `start`, for ever.

    Raises:
        BusDown: the consumer can't be made at first (later it is tried again).
        StreamMissing: no such stream.
        BusClosed: the connection is closed for good.
    """
    begun = False
    while True:
        try:
            async with contextlib.aclosing(_ordered(link, stream, subjects, start)) as messages:
                async for each in messages:
                    begun = True
                    if each:
                        yield each
                        start = each.sequence + 1
        except BusDown:
            if not begun:
                raise
            await asyncio.sleep(RETRY_SECONDS)
        await link.wait_up()


async def _ordered(link: Link, stream: str, subjects: Sequence[str], start: int) -> AsyncGenerator[Stored | None]:
    """One consumer's messages until it breaks; None once it stands."""
    queue: asyncio.Queue[Received | None] = asyncio.Queue()

    def lost() -> None:
        queue.put_nowait(None)

    # A push consumer is active only while somebody subscribes to its very address: a wildcard doesn't count.
    inbox = await link.inbox(queue.put_nowait, addresses=ADDRESS)
    link.lost.append(lost)
    link.restored.append(lost)
    name = _names.next().decode()
    try:
        config = _config(name, inbox.address(ADDRESS), subjects, start)
        await api(link, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config})
        yield None
        expected = 1
        while True:
            received = await _next(queue)
            if received is None:
                return
            if received.status:
                await _control(link, received)
                continue
            sequence, consumer_sequence, time = (int(token) for token in _numbers(received.reply))
            if consumer_sequence != expected:
                return
            expected += 1
            yield Stored(received.subject, sequence, received.data, received.headers, moment(time))
    finally:
        link.lost.remove(lost)
        link.restored.remove(lost)
        inbox.forget()
        with contextlib.suppress(BusError):
            await inbox.leave()
            await link.send(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")


def _numbers(reply: str) -> list[str]:
    """Sequence, consumer sequence and time of `$JS.ACK.….<delivered>.<these>.<pending>` (see `events.nats_pull`)."""
    tokens = reply.split(".")
    first = 5 if len(tokens) == 9 else 7  # noqa: PLR2004 # the two forms
    return tokens[first : first + 3]


async def _next(queue: "asyncio.Queue[Received | None]") -> Received | None:
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await queue.get()
    except TimeoutError:
        return None


async def _control(link: Link, received: Received) -> None:
    """A flow-control question, or a heartbeat that repeats one that got lost."""
    question = received.reply or received.headers.get("Nats-Consumer-Stalled")
    if question:
        await link.send(question)


def _config(name: str, address: str, subjects: Sequence[str], start: int) -> dict[str, object]:
    return {
        "name": name,
        "deliver_subject": address,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": max(start, 1),
        "filter_subjects": list(subjects),
        "ack_policy": "none",
        "max_deliver": 1,
        "flow_control": True,
        "idle_heartbeat": HEARTBEAT_SECONDS * NANOSECONDS,
        "inactive_threshold": INACTIVE_SECONDS * NANOSECONDS,
        "mem_storage": True,
        "num_replicas": 1,
    }
