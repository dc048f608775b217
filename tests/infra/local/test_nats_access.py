"""One user per job on NATS: each can do its work, and nothing of anybody else's."""

import asyncio
import json
from collections.abc import AsyncIterator

import nats
import pytest

from events.nats import NatsBus
from infra.local.nats import inbox_prefix
from infra.local.threaded import ThreadedStack
from tests.infra.local.on_nats import NatsUser, OnNats, on_nats

STREAMS: dict[str, dict[str, object]] = {
    "UPLOADS": {"subjects": ["minio.>"]},
    "MEDIA": {"subjects": ["media.>", "invoke.>"]},
    "EVENTS": {
        "sources": [
            {
                "name": "MEDIA",
                "subject_transforms": [
                    {"src": "media.*.*.*.*.*.*", "dest": "events.{{wildcard(1)}}.{{wildcard(2)}}"},
                ],
            }
        ]
    },
    "DEAD": {"subjects": ["dead.>"]},
    "TICKS": {"subjects": ["tick.>"]},
    "KV_attempts": {"subjects": ["$KV.attempts.>"]},
}
EVENT = "media.identified.document.standard.m1.0.identify"


@pytest.fixture
async def streams(stack: ThreadedStack) -> AsyncIterator[None]:
    """The streams as provisioning makes them, with one function's consumer."""
    async with on_nats(stack, "operator") as operator:
        for name, config in STREAMS.items():
            answer = await operator.ask(f"STREAM.CREATE.{name}", {"name": name, "allow_direct": True, **config})
            assert "error" not in answer, answer
        scan = {"durable_name": "scan", "name": "scan", "ack_policy": "explicit"}
        await operator.ask("CONSUMER.CREATE.MEDIA.scan", {"stream_name": "MEDIA", "config": scan})
        yield
        for name in STREAMS:
            await operator.ask(f"STREAM.DELETE.{name}")


async def test_functions_fetch_acknowledge_and_publish(stack: ThreadedStack, streams: None) -> None:
    """A worker binds to its consumer, takes a message, acknowledges it, and publishes what follows."""
    async with on_nats(stack, "functions") as functions:
        for subject in (EVENT, "dead.scan.m1", "tick.sweep", "$KV.attempts.scan.1"):
            assert (await functions.store(subject))["seq"]
        assert (await functions.ask("CONSUMER.INFO.MEDIA.scan"))["num_pending"] == 1
        assert (await functions.take("MEDIA", "scan")).subject == EVENT
        assert (await functions.ask("CONSUMER.INFO.MEDIA.scan"))["ack_floor"]["stream_seq"] == 1
        got = await functions.client.request(f"$JS.API.DIRECT.GET.MEDIA.{EVENT}", b"", timeout=5)
        assert got.data == b"{}"
        assert functions.refusals.empty()


@pytest.mark.parametrize("role", ["functions", "gateway", "subscriber", "minio"])
async def test_nobody_listens_to_anothers_replies(stack: ThreadedStack, role: NatsUser) -> None:
    """Each user's inbox is its own; events are read from streams, not overheard, and progress is the gateway's."""
    subjects = ["_INBOX_operator.>", "media.>", "events.>", "$JS.>", "*.>", ">"]
    subjects += ["_INBOX.>"] if role != "minio" else []
    subjects += ["progress.>"] if role != "gateway" else []
    async with on_nats(stack, role) as client:
        for subject in subjects:
            await client.listen(subject)
            async with asyncio.timeout(5):
                assert "subscription to" in await client.refusals.get()


async def test_subscribers_read_events_by_consumers_of_their_own(stack: ThreadedStack, streams: None) -> None:
    """A downstream service makes a durable consumer on EVENTS, and gets events without a media id in the subject."""
    async with on_nats(stack, "functions") as functions, on_nats(stack, "subscriber") as subscriber:
        await functions.store(EVENT)
        mine = {"durable_name": "mine", "name": "mine", "ack_policy": "explicit"}
        await subscriber.ask("CONSUMER.CREATE.EVENTS.mine", {"stream_name": "EVENTS", "config": mine})
        assert (await subscriber.take("EVENTS", "mine")).subject == "events.identified.document"
        assert subscriber.refusals.empty()


async def test_the_gateway_follows_events_and_asks_what_happened(stack: ThreadedStack, streams: None) -> None:
    """The gateway announces an upload, reads a media's messages, and is pushed what happens next."""
    async with on_nats(stack, "functions") as functions, on_nats(stack, "gateway") as gateway:
        inbox, pushed = await gateway.inbox()
        await gateway.ask(
            "CONSUMER.CREATE.EVENTS",
            {"stream_name": "EVENTS", "config": {"deliver_subject": inbox, "ack_policy": "none"}},
        )
        requested = "media.requested.unknown.standard.m2.0.gateway"
        assert (await gateway.store(requested))["seq"]
        await functions.store(EVENT)
        assert (await pushed.next_msg(timeout=5)).data == b"{}"
        got = await gateway.client.request(f"$JS.API.DIRECT.GET.MEDIA.{requested}", b"", timeout=5)
        assert got.headers is not None
        assert got.headers["Nats-Subject"] == requested
        assert gateway.refusals.empty()


SPOKEN = (
    "media.requested.unknown.standard.m1.0.gateway",
    "media.deleted.document.standard.m1.0.gateway",
    EVENT,
    "media.promoted.document.standard.m1.0.promote",
    "invoke.scan.standard.m1",
    "events.promoted.document",
    "dead.scan.m1",
    "tick.sweep",
    "progress.m1",
    "minio.fast",
    "minio.durable",
    "minio.sweep",
    "$KV.attempts.scan.1",
    "$KV.cursors.sweep",
    "_INBOX_operator.guessed",
    "_INBOX_gateway.guessed",
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.SERVER.PING",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.ACCOUNT.PURGE.TIDEGATE",
    "$JS.API.META.LEADER.STEPDOWN",
)
ON_A_STREAM = (
    "$JS.API.STREAM.CREATE.{}",
    "$JS.API.STREAM.UPDATE.{}",
    "$JS.API.STREAM.DELETE.{}",
    "$JS.API.STREAM.PURGE.{}",
    "$JS.API.STREAM.INFO.{}",
    "$JS.API.STREAM.MSG.GET.{}",
    "$JS.API.STREAM.MSG.DELETE.{}",
    "$JS.API.STREAM.SNAPSHOT.{}",
    "$JS.API.STREAM.RESTORE.{}",
    "$JS.API.STREAM.PEER.REMOVE.{}",
    "$JS.API.STREAM.LEADER.STEPDOWN.{}",
    "$JS.API.DIRECT.GET.{}",
    "$JS.API.DIRECT.GET.{}.media.requested.unknown.standard.m1.0.gateway",
    "$JS.API.CONSUMER.CREATE.{}",
    "$JS.API.CONSUMER.CREATE.{}.scan",
    "$JS.API.CONSUMER.CREATE.{}.scan.media.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.{}.scan",
    "$JS.API.CONSUMER.NAMES.{}",
    "$JS.API.CONSUMER.LIST.{}",
    "$JS.API.CONSUMER.INFO.{}.scan",
    "$JS.API.CONSUMER.DELETE.{}.scan",
    "$JS.API.CONSUMER.PAUSE.{}.scan",
    "$JS.API.CONSUMER.UNPIN.{}.scan",
    "$JS.API.CONSUMER.RESET.{}.scan",
    "$JS.API.CONSUMER.LEADER.STEPDOWN.{}.scan",
    "$JS.API.CONSUMER.MSG.NEXT.{}.scan",
    "$JS.ACK.{}.scan.1.1.1.1.0",
    "$JS.ACK._.account.{}.scan.1.1.1.1.0.x",
    "$JS.FC.{}.scan.x",
)
LOOK = {
    "$JS.API.STREAM.INFO.{}",
    "$JS.API.STREAM.MSG.GET.{}",
    "$JS.API.DIRECT.GET.{}",
    "$JS.API.DIRECT.GET.{}.media.requested.unknown.standard.m1.0.gateway",
    "$JS.API.CONSUMER.INFO.{}.scan",
}
LIST = {"$JS.API.CONSUMER.NAMES.{}", "$JS.API.CONSUMER.LIST.{}"}
WORK = {
    "$JS.API.CONSUMER.MSG.NEXT.{}.scan",
    "$JS.ACK.{}.scan.1.1.1.1.0",
    "$JS.ACK._.account.{}.scan.1.1.1.1.0.x",
}
FOLLOW = {
    "$JS.API.CONSUMER.CREATE.{}",
    "$JS.API.CONSUMER.CREATE.{}.scan",
    "$JS.API.CONSUMER.CREATE.{}.scan.media.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.{}.scan",
    "$JS.API.CONSUMER.DELETE.{}.scan",
    "$JS.FC.{}.scan.x",
}
"""What a subject pattern stands for, by what it is good for."""


def on(streams: str, *uses: set[str]) -> set[str]:
    """The subjects of these uses on each of the streams."""
    return {pattern.format(stream) for stream in streams.split() for use in uses for pattern in use}


ABOUT = {"$JS.API.INFO", "$JS.API.STREAM.NAMES"}
MAY_PUBLISH: dict[NatsUser, set[str]] = {
    "minio": {"minio.fast", "minio.durable", "minio.sweep"},
    "functions": {
        *(subject for subject in SPOKEN if subject.startswith(("media.", "invoke.", "dead.", "tick.", "progress."))),
        *("minio.sweep", "$KV.attempts.scan.1", "$KV.cursors.sweep"),
        *ABOUT,
        *on("UPLOADS MEDIA TICKS", LOOK, LIST, WORK),
        *on("DEAD KV_attempts KV_cursors", LOOK, LIST),
    },
    "gateway": {
        *("media.requested.unknown.standard.m1.0.gateway", "media.deleted.document.standard.m1.0.gateway"),
        *ABOUT,
        *on("MEDIA EVENTS", LOOK, LIST),
        *on("EVENTS", FOLLOW),
    },
    "subscriber": on("EVENTS", LOOK, FOLLOW, WORK),
}
ALL_STREAMS = "UPLOADS MEDIA EVENTS DEAD TICKS KV_attempts KV_cursors"


@pytest.mark.parametrize("role", list(MAY_PUBLISH))
async def test_what_each_role_may_publish(stack: ThreadedStack, role: NatsUser) -> None:
    """Of everything that can be said on NATS, each role may say what its job needs, and is refused the rest."""
    subjects = [*SPOKEN, *sorted(on(ALL_STREAMS, set(ON_A_STREAM)))]
    async with on_nats(stack, role) as client:
        for subject in (*subjects, "nobody.says.this"):
            await client.client.publish(subject, b"{}")
        refused: list[str] = []
        async with asyncio.timeout(5):
            while "nobody.says.this" not in "".join(refused[-1:]):
                refused.append(await client.refusals.get())
    allowed = {one for one in subjects if not any(f'publish to "{one.lower()}"' in each for each in refused)}
    assert allowed == MAY_PUBLISH[role]


TRICKS: dict[str, tuple[str, dict[str, object]]] = {
    "another stream in the body": ("CONSUMER.CREATE.EVENTS.a", {"stream_name": "MEDIA", "config": {"name": "a"}}),
    "the same, without a name": ("CONSUMER.CREATE.EVENTS", {"stream_name": "MEDIA", "config": {}}),
    "the same, as it was": (
        "CONSUMER.DURABLE.CREATE.EVENTS.b",
        {"stream_name": "MEDIA", "config": {"durable_name": "b", "ack_policy": "explicit"}},
    ),
    "a filter in the subject": (
        "CONSUMER.CREATE.EVENTS.c.media.>",
        {"stream_name": "EVENTS", "config": {"name": "c", "filter_subject": "media.>", "ack_policy": "explicit"}},
    ),
    "a filter": (
        "CONSUMER.CREATE.EVENTS.d",
        {"stream_name": "EVENTS", "config": {"name": "d", "filter_subjects": ["media.>"], "ack_policy": "explicit"}},
    ),
    "the last of a subject": ("STREAM.MSG.GET.EVENTS", {"last_by_subj": "media.>"}),
    "the next of a subject": ("STREAM.MSG.GET.EVENTS", {"seq": 1, "next_by_subj": "media.>"}),
}


@pytest.mark.parametrize("trick", list(TRICKS))
async def test_subscribers_reach_no_other_stream(stack: ThreadedStack, streams: None, trick: str) -> None:
    """A right on EVENTS is no way to MEDIA, whatever the body of a request says."""
    call, body = TRICKS[trick]
    async with on_nats(stack, "functions") as functions, on_nats(stack, "subscriber") as subscriber:
        await functions.store(EVENT, b'{"secret": 1}')
        answer = await subscriber.ask(call, body)
        if "error" not in answer:
            assert answer["stream_name"] == "EVENTS"
            assert answer["num_pending"] == 0
        async with on_nats(stack, "operator") as operator:
            assert [one["name"] for one in (await operator.ask("CONSUMER.LIST.MEDIA"))["consumers"]] == ["scan"]


STORED = (EVENT, "invoke.scan.standard.m1", "minio.fast", "dead.scan.m1", "tick.sweep", "$KV.attempts.scan.1")
"""A subject of every stream."""


async def kept(operator: OnNats) -> dict[str, tuple[int, int, int]]:
    """The newest message, the messages and the consumers of every stream."""
    states = {name: (await operator.ask(f"STREAM.INFO.{name}"))["state"] for name in STREAMS}
    return {
        name: (state["last_seq"], state["messages"], state["consumer_count"])
        for name, state in states.items()
        if name != "EVENTS"
    }


@pytest.mark.parametrize(
    "target",
    [*STORED, "$JS.API.STREAM.PURGE.MEDIA", "$JS.API.STREAM.DELETE.DEAD", "$JS.API.CONSUMER.DELETE.MEDIA.scan"],
)
async def test_an_answer_goes_to_the_asker_alone(stack: ThreadedStack, streams: None, target: str) -> None:
    """A subscriber that wants to be answered on a stream's subject, or on JetStream's own, puts nothing there.

    No permission forbids the reply subject; in one account with the streams, MEDIA kept the answers.
    """
    async with (
        on_nats(stack, "operator") as operator,
        on_nats(stack, "functions") as functions,
        on_nats(stack, "subscriber") as subscriber,
    ):
        await functions.store(EVENT)
        mine = {"durable_name": "mine", "name": "mine", "ack_policy": "explicit"}
        await subscriber.ask("CONSUMER.CREATE.EVENTS.mine", {"stream_name": "EVENTS", "config": mine})
        await subscriber.ask("STREAM.INFO.EVENTS")
        before = await kept(operator)
        create = json.dumps({"stream_name": "EVENTS", "config": mine}).encode()
        questions = [
            ("$JS.API.STREAM.INFO.EVENTS", b""),
            ("$JS.API.STREAM.MSG.GET.EVENTS", b'{"seq": 1}'),
            ("$JS.API.DIRECT.GET.EVENTS", b'{"seq": 1}'),
            ("$JS.API.CONSUMER.INFO.EVENTS.mine", b""),
            ("$JS.API.CONSUMER.CREATE.EVENTS.mine", create),
            ("$JS.API.CONSUMER.MSG.NEXT.EVENTS.mine", b"1"),
            # Answered by nothing: to delete, that is enough.
            *(("$JS.ACK.EVENTS.mine.1.1.1.1.0", word) for word in (b"-NAK", b"+WPI", b"+NXT", b"+TERM", b"+ACK")),
        ]
        for subject, body in questions:
            await subscriber.client.publish(subject, body, reply=target)
        # Answered after all of those were.
        assert "error" not in await subscriber.ask("STREAM.INFO.EVENTS")
        assert await kept(operator) == before
        assert subscriber.refusals.empty()


async def test_a_push_consumer_feeds_no_stream(stack: ThreadedStack, streams: None) -> None:
    """Pushed messages reach an inbox of the subscriber's, and nothing that others work on."""
    async with (
        on_nats(stack, "operator") as operator,
        on_nats(stack, "functions") as functions,
        on_nats(stack, "subscriber") as subscriber,
    ):
        inbox, delivered = await subscriber.inbox()
        await operator.listen("dead.>")
        before = await kept(operator)
        for number, target in enumerate((*STORED, "$JS.API.STREAM.PURGE.MEDIA", inbox)):
            config = {"name": f"push{number}", "deliver_subject": target, "ack_policy": "none"}
            await subscriber.ask(f"CONSUMER.CREATE.EVENTS.push{number}", {"stream_name": "EVENTS", "config": config})
        await functions.store(EVENT)
        await delivered.next_msg(timeout=5)
        after = await kept(operator)
        assert after.pop("MEDIA")[0] == before.pop("MEDIA")[0] + 1
        assert after == before


async def test_subscribers_read_as_the_readme_says(stack: ThreadedStack, streams: None) -> None:
    """With the NATS client alone: a durable consumer, fetched from and acknowledged, goes on where it was."""
    async with on_nats(stack, "functions") as functions:
        for number in range(20):
            await functions.store(EVENT, b"%d" % number)
    got: list[int] = []
    for _ in range(2):
        client = await nats.connect(  # pyright: ignore[reportUnknownMemberType] - options are untyped there
            stack.settings("subscriber").nats_url, inbox_prefix=inbox_prefix("subscriber").encode()
        )
        try:
            stream = client.jetstream()  # pyright: ignore[reportUnknownMemberType] - options are untyped there
            events = await stream.pull_subscribe("events.identified.>", durable="gallery", stream="EVENTS")
            taken = 0
            while taken < 10:  # a fetch gives what is there by then, and the copies in EVENTS come after the originals
                for message in await events.fetch(10 - taken, timeout=5):
                    taken += 1
                    got.append(int(message.data))
                    await message.ack_sync()
        finally:
            await client.close()
    assert got == list(range(20))


async def test_subscribers_follow(stack: ThreadedStack, streams: None) -> None:
    """What was and what comes, pushed with flow control: more than a consumer may have on its way."""
    settings, count = stack.settings("subscriber"), 3000
    bus = await NatsBus.connect(settings.nats_url, name="tests")
    got: list[int] = []
    try:
        async with on_nats(stack, "functions") as functions:
            for number in range(count // 2):
                await functions.client.publish(EVENT, b"%d" % number + b" " * 1000)
            await functions.client.flush()
            async with asyncio.timeout(30):
                async for stored in bus.read("EVENTS", ["events.>"], start=1, follow=True):
                    if not got:
                        for number in range(count // 2, count):
                            await functions.client.publish(EVENT, b"%d" % number + b" " * 1000)
                    got.append(int(stored.data))
                    if len(got) == count:
                        break
        assert [int(one.data) for one in await bus.last("EVENTS", ["events.>"])] == [count - 1]
        assert [int(one.data) async for one in bus.read("EVENTS", ["events.>"], start=count - 2)] == got[-3:]
    finally:
        await bus.aclose()
    assert got == list(range(count))
