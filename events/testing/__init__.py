"""For quick tests of functions and of the runtime: a message bus in memory that keeps the real one's promises.

    bus = MemoryBus()
    await bus.provision(
        [StreamSpec("MEDIA", ("media.>",), max_age=3600)], [ConsumerSpec("MEDIA", "scan", ("media.>",))]
    )
    await bus.publish("media.uploaded.x", b"…", message_id="1")
    await bus.clock.advance(15)        # what waits for 15 seconds happens now
    assert [each.subject for each in bus.stored("MEDIA")] == […]

`tests/events/contract.py` holds it and NATS to the same sentences.
"""

from events.testing.clock import Clock
from events.testing.consumer import MemoryMessage, MemorySubscription
from events.testing.memory import MemoryBus
from events.testing.subjects import matches

__all__ = ["Clock", "MemoryBus", "MemoryMessage", "MemorySubscription", "matches"]
