"""The message bus on NATS JetStream."""

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

from events.bus import (
    BucketSpec,
    BusClosed,
    BusDown,
    BusError,
    Change,
    ConsumerSpec,
    ConsumerState,
    Expect,
    Message,
    Published,
    Stored,
    StreamSpec,
    Subscription,
    WrongLastSequence,
)
from events.nats_api import ApiError, api, last_by_subjects, message, missing_or_down, read_stored
from events.nats_follow import follow_stored
from events.nats_link import NO_RESPONDERS, Link
from events.nats_listen import listen
from events.nats_provision import provision, state
from events.nats_pull import NatsSubscription

CONNECT_SECONDS = 10.0
ALIVE_SECONDS = 2.0

WRONG_LAST_SEQUENCE = (10071, 10164)
# The same message id is being stored right now by another server of the cluster: ask again.
DUPLICATE_IN_FLIGHT = 10158
SERVER_ERROR = 500
NO_SUCH_SEQUENCE = (10043, 10057)


class NatsBus:
    """See `events.bus.Bus`. One connection, shared by everything in a process."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @classmethod
    async def connect(
        cls, url: str, *, name: str, on_closed: Callable[[str], None] | None = None, timeout: float = CONNECT_SECONDS
    ) -> "NatsBus":
        """Connect to one of the comma-separated servers in `url`, each with user and password.

        The inbox prefix is `_INBOX_<user>`, so that a server can keep users out of each other's answers. The
        connection is made again for ever when it breaks; when the server refuses the credentials it is closed for
        good and `on_closed` is told why, once: the process should end then.

        Raises:
            BusDown: no server could be reached within `timeout` seconds.
            BusClosed: the credentials were refused.
        """
        return cls(await Link.open(url, name=name, on_closed=on_closed, timeout=timeout))

    async def aclose(self) -> None:
        """Close the connection; `on_closed` is not called."""
        await self._link.aclose()

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment, as far as is known."""
        return self._link.up

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Expect | None = None,
        timeout: float = 5.0,
    ) -> Published:
        """See `events.bus.Bus.publish`."""
        sent = dict(headers or {})
        if message_id is not None:
            sent["Nats-Msg-Id"] = message_id
        if expect:
            sent["Nats-Expected-Last-Subject-Sequence"] = str(expect.sequence)
            sent["Nats-Expected-Last-Subject-Sequence-Subject"] = expect.subject
        answer = await self._link.request(subject, data, headers=sent or None, timeout=timeout)
        if answer.status == NO_RESPONDERS:
            raise await missing_or_down(self._link, subject, subject=subject)
        result = json.loads(answer.data)
        if "error" in result:
            raise _publish_error(ApiError(subject, result["error"]))
        return Published(result["stream"], result["seq"], result.get("duplicate", False))

    async def subscribe(self, stream: str, consumer: str, deliver: Callable[[Message], None]) -> Subscription:
        """See `events.bus.Bus.subscribe`."""
        subscription = NatsSubscription(self._link, stream, consumer, deliver)
        await subscription.start()
        return subscription

    async def last(self, stream: str, subjects: Sequence[str]) -> list[Stored]:
        """See `events.bus.Bus.last`; in order of sequence.

        Raises:
            BusDown: no answer.
            StreamMissing: no such stream.
            ValueError: more than 1,024 subjects match.
        """
        return await last_by_subjects(self._link, stream, subjects)

    async def read(
        self, stream: str, subjects: Sequence[str], *, start: int = 1, follow: bool = False
    ) -> AsyncIterator[Stored]:
        """See `events.bus.Bus.read`. With `follow` the user needs the right to create consumers on the stream."""
        reader = follow_stored if follow else read_stored
        async with contextlib.aclosing(reader(self._link, stream, subjects, start)) as messages:
            async for each in messages:
                yield each

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """See `events.bus.Bus.get`."""
        return await message(self._link, stream, seq=sequence)

    async def delete(self, stream: str, sequence: int) -> None:
        """See `events.bus.Bus.delete`; a message that is gone is fine."""
        try:
            await api(self._link, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence})
        except ApiError as error:
            if error.number not in NO_SUCH_SEQUENCE:
                raise

    async def kv_get(self, bucket: str, key: str) -> bytes | None:
        """See `events.bus.Bus.kv_get`; answered by the bucket's leader."""
        found = await message(self._link, f"KV_{bucket}", last_by_subj=_kv_subject(bucket, key))
        return None if found is None or "KV-Operation" in found.headers else found.data

    async def kv_put(self, bucket: str, key: str, value: bytes) -> None:
        """See `events.bus.Bus.kv_put`."""
        await self.publish(_kv_subject(bucket, key), value)

    async def kv_delete(self, bucket: str, key: str) -> None:
        """See `events.bus.Bus.kv_delete`."""
        await self.publish(_kv_subject(bucket, key), b"", headers={"KV-Operation": "DEL"})

    async def signal(self, subject: str, data: bytes) -> None:
        """See `events.bus.Bus.signal`; without a connection it is dropped."""
        with contextlib.suppress(BusDown, BusClosed):
            await self._link.send(subject, data)

    def listen(self, subject: str) -> AsyncGenerator[tuple[str, bytes]]:
        """See `events.bus.Bus.listen`."""
        return listen(self._link, subject)

    async def provision(
        self,
        streams: Sequence[StreamSpec],
        consumers: Sequence[ConsumerSpec],
        *,
        buckets: Sequence[BucketSpec] = (),
        prune: bool = False,
    ) -> list[Change]:
        """See `events.bus.Bus.provision`. Extras are durable consumers of these streams that are not specified."""
        return await provision(self._link, streams, consumers, buckets, prune=prune)

    async def state(self, stream: str) -> list[ConsumerState]:
        """See `events.bus.Bus.state`."""
        return await state(self._link, stream)

    async def alive(self) -> None:
        """See `events.bus.Bus.alive`: a round trip to JetStream."""
        await api(self._link, "INFO", timeout=ALIVE_SECONDS)


def _kv_subject(bucket: str, key: str) -> str:
    return f"$KV.{bucket}.{key}"


def _publish_error(error: ApiError) -> BusError:
    if error.number in WRONG_LAST_SEQUENCE:
        return WrongLastSequence(str(error))
    if error.code >= SERVER_ERROR or error.number == DUPLICATE_IN_FLIGHT:
        return BusDown(str(error))
    return error
