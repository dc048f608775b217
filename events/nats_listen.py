"""Hearing what is said without being stored, as long as somebody listens."""

import contextlib
from collections.abc import AsyncGenerator

from events.bus import BusError
from events.nats_link import Link
from events.nats_wire import Received
from events.newest import Newest


async def listen(link: Link, subject: str) -> AsyncGenerator[tuple[str, bytes]]:
    """See `events.bus.Bus.listen`."""
    await link.wait_up()
    newest = Newest()

    def heard(received: Received) -> None:
        newest.put(received.subject, received.data)

    listening = await link.listen(subject, heard)
    # Also called when the connection closes for good.
    link.restored.append(newest.wake)
    try:
        while True:
            if message := await newest.take():
                yield message
            else:
                await link.wait_up()
    finally:
        link.restored.remove(newest.wake)
        listening.forget()
        with contextlib.suppress(BusError):
            await listening.leave()
