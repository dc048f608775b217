"""A process of the toy domain on real NATS, to be killed: `python -m tests.events.process URL`.

A parcel's note says what `weigh` does with it: `kill` kills the process, `wait` runs until it is stopped, `slow` takes
a second, anything else a fifth of one. `ready` on standard output says that the functions are bound.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import Any

from events.nats import NatsBus
from events.registry import Registry, function
from events.worker import Worker
from tests.events.domain import FAST, Sent, Weighed, application

POLICY = replace(FAST, grace=1.5)


def registered() -> Registry:
    """`weigh`."""
    registry = Registry()

    @function(on=Sent, into=registry, concurrency=16)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        match event.note:
            case "kill":
                # Long enough for the others to be in flight.
                await asyncio.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                await asyncio.Future[None]()
            case "slow":
                await asyncio.sleep(1)
            case _:
                await asyncio.sleep(0.2)
        return Weighed(parcel=event.parcel)

    return registry


async def main(url: str) -> int:
    """Work until SIGTERM; exit 3 if NATS closed the connection for good."""
    stop, lost = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def closed(_reason: str) -> None:
        lost.set()
        stop.set()

    bus = await NatsBus.connect(url, name="weigh", on_closed=closed)
    worker = Worker(bus, application(), list(registered()), POLICY)
    await worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    await worker.drain()
    await bus.aclose()
    return 3 if lost.is_set() else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
