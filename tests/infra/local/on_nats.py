"""A NATS connection of one role that remembers what it was refused."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from infra.local.nats import inbox_prefix
from infra.local.stack import LocalStack
from infra.local.threaded import ThreadedStack

NatsUser = Literal["operator", "minio", "functions", "gateway", "subscriber"]


class OnNats:
    """Speaks JetStream's own API, so that a test sees exactly which subjects a role may use."""

    def __init__(self, client: Client, refusals: asyncio.Queue[str]) -> None:
        self.client = client
        self.refusals = refusals

    async def ask(self, subject: str, body: object = None) -> dict[str, Any]:
        """The answer to a request on this subject (without its `$JS.API.`)."""
        payload = b"" if body is None else json.dumps(body).encode()
        return json.loads((await self.client.request(f"$JS.API.{subject}", payload, timeout=5)).data)

    async def store(self, subject: str, body: bytes = b"{}") -> dict[str, Any]:
        """A stream's acknowledgement of a message."""
        return json.loads((await self.client.request(subject, body, timeout=5)).data)

    async def take(self, stream: str, consumer: str) -> Msg:
        """Fetch one message and acknowledge it."""
        inbox, messages = await self.inbox()
        await self.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", b"1", reply=inbox)
        message = await messages.next_msg(timeout=5)
        await self.client.request(message.reply, b"+ACK", timeout=5)
        return message

    async def inbox(self) -> tuple[str, Subscription]:
        """An inbox of this role's own."""
        name = self.client.new_inbox()
        return name, await self.listen(name)

    async def listen(self, subject: str) -> Subscription:
        """Subscribe on core NATS."""
        return await self.client.subscribe(subject)  # pyright: ignore[reportUnknownMemberType] - untyped futures there

    async def refused(self, subject: str) -> bool:
        """Whether publishing on this subject breaks this user's permissions."""
        await self.client.publish(subject, b"{}")
        await self.client.flush()
        try:
            async with asyncio.timeout(0.3):
                return f'publish to "{subject.lower()}"' in await self.refusals.get()
        except TimeoutError:
            return False


@asynccontextmanager
async def on_nats(stack: ThreadedStack | LocalStack, user: NatsUser) -> AsyncGenerator[OnNats]:
    """Connect with this user's credentials."""
    refusals: asyncio.Queue[str] = asyncio.Queue()

    async def refuse(error: Exception) -> None:
        refusals.put_nowait(str(error))

    client: Client = await nats.connect(  # pyright: ignore[reportUnknownMemberType] - options are untyped there
        f"nats://{user}:{stack.info.secrets[f'nats_{user}']}@127.0.0.1:{stack.info.ports['nats']}",
        inbox_prefix=inbox_prefix(user).encode(),
        error_cb=refuse,
    )
    try:
        yield OnNats(client, refusals)
    finally:
        await client.close()
