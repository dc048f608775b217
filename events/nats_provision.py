"""Making streams, KV buckets and consumers as specified, and saying what differs."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

from events.bus import BucketSpec, Change, ConsumerSpec, ConsumerState, StreamMissing, StreamSpec
from events.nats_api import ApiError, api
from events.nats_link import Link

NANOSECONDS = 1_000_000_000
CONSUMER_NOT_FOUND = 10014

Config = dict[str, Any]


def stream_config(spec: StreamSpec) -> Config:
    """A stream's configuration: limits retention on disk, oldest out first, direct gets, single deletes."""
    window = min(spec.duplicate_window, spec.max_age) if spec.max_age else spec.duplicate_window
    config: Config = {
        "name": spec.name,
        "description": spec.description,
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "num_replicas": spec.replicas,
        "max_age": int(spec.max_age * NANOSECONDS),
        "max_msgs_per_subject": spec.max_per_subject or -1,
        "duplicate_window": int(window * NANOSECONDS),
        "allow_direct": True,
        "allow_rollup_hdrs": False,
        "deny_delete": False,
    }
    if spec.subjects:
        config["subjects"] = list(spec.subjects)
    if spec.source:
        transform = {"src": spec.source.src, "dest": spec.source.dest}
        config["sources"] = [{"name": spec.source.stream, "subject_transforms": [transform]}]
    if not spec.fsync:
        config["persist_mode"] = "async"
    return config


def bucket_config(spec: BucketSpec) -> Config:
    """A KV bucket is a stream by convention (ADR-8): the last value of each key."""
    ttl = int(spec.ttl * NANOSECONDS)
    return {
        "name": f"KV_{spec.name}",
        "subjects": [f"$KV.{spec.name}.>"],
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "num_replicas": spec.replicas,
        "max_age": ttl,
        "max_msgs_per_subject": 1,
        "duplicate_window": min(ttl, 120 * NANOSECONDS) if ttl else 120 * NANOSECONDS,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
    }


def consumer_config(spec: ConsumerSpec) -> Config:
    """A durable pull consumer: explicit acks, any number of deliveries, no backoff (a nak's delay would add to it)."""
    return {
        "name": spec.name,
        "durable_name": spec.name,
        "description": spec.description,
        "ack_policy": "explicit",
        "ack_wait": int(spec.ack_wait * NANOSECONDS),
        "max_ack_pending": spec.max_ack_pending,
        "max_deliver": -1,
        "filter_subjects": list(spec.subjects),
    }


async def provision(
    link: Link,
    streams: Sequence[StreamSpec],
    consumers: Sequence[ConsumerSpec],
    buckets: Sequence[BucketSpec],
    *,
    prune: bool,
) -> list[Change]:
    """See `events.bus.Bus.provision`. Extras are consumers of these streams that nobody asked for."""
    # A stream's source comes before it.
    ordered = sorted(streams, key=lambda spec: spec.source is not None)
    changes = [await _stream(link, f"stream {spec.name}", stream_config(spec)) for spec in ordered]
    changes += [await _stream(link, f"bucket {spec.name}", bucket_config(spec)) for spec in buckets]
    changes += [await _consumer(link, spec) for spec in consumers]
    wanted = {(spec.stream, spec.name) for spec in consumers}
    for spec in ordered:
        if spec.source is not None:
            continue  # its consumers are subscribers' own
        # A stream that can't be made was reported above.
        with contextlib.suppress(StreamMissing):
            changes += [
                await _extra(link, spec.name, info, prune=prune)
                async for info in consumer_infos(link, spec.name)
                # A name without durability is a reader's (`events.nats_follow`) and ends with it.
                if "durable_name" in info["config"] and (spec.name, info["name"]) not in wanted
            ]
    return changes


async def _stream(link: Link, what: str, wanted: Config) -> Change:
    name = wanted["name"]
    try:
        current = (await api(link, f"STREAM.INFO.{name}"))["config"]
    except StreamMissing:
        return await _create(link, what, f"STREAM.CREATE.{name}", wanted)
    return await _update(link, what, current, wanted, f"STREAM.UPDATE.{name}", lambda config: config)


async def _consumer(link: Link, spec: ConsumerSpec) -> Change:
    what = f"consumer {spec.stream}.{spec.name}"
    wanted = consumer_config(spec)
    call = f"CONSUMER.CREATE.{spec.stream}.{spec.name}"

    def body(config: Config) -> Config:
        return {"stream_name": spec.stream, "config": config, "action": "update"}

    try:
        current = (await api(link, f"CONSUMER.INFO.{spec.stream}.{spec.name}"))["config"]
    except ApiError as error:
        if error.number != CONSUMER_NOT_FOUND:
            raise
        config = wanted | await _beginning(link, spec)
        return await _create(link, what, call, {"stream_name": spec.stream, "config": config, "action": "create"})
    except StreamMissing as error:
        return Change(what, "drift", str(error))
    if "filter_subject" in current:
        current["filter_subjects"] = [current.pop("filter_subject")]
    return await _update(link, what, current, wanted, call, body)


async def _beginning(link: Link, spec: ConsumerSpec) -> Config:
    """Where a consumer that is made begins: at new messages, or where those are whose work it takes over."""
    floors: list[int] = []
    for name in spec.after:
        with contextlib.suppress(ApiError):
            floors.append((await api(link, f"CONSUMER.INFO.{spec.stream}.{name}"))["ack_floor"]["stream_seq"])
    if not floors:
        return {"deliver_policy": "new"}
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": min(floors) + 1}


async def _create(link: Link, what: str, call: str, body: Config) -> Change:
    try:
        await api(link, call, body)
    except ApiError as error:
        return Change(what, "drift", f"can't be created: {error.description}")
    return Change(what, "created")


async def _update(
    link: Link,
    what: str,
    current: Config,
    wanted: Config,
    call: str,
    body: Callable[[Config], Config],
) -> Change:
    differing = [key for key, value in wanted.items() if not _same(current.get(key), value)]
    # What is not asked for any more: a source, a persist mode.
    differing += [key for key in ("sources", "persist_mode") if current.get(key) and key not in wanted]
    if not differing:
        return Change(what, "unchanged")
    kept = {key: value for key, value in current.items() if key not in differing}
    try:
        await api(link, call, body(kept | {key: wanted[key] for key in differing if key in wanted}))
    except ApiError as error:
        return Change(what, "drift", f"{', '.join(differing)}: {error.description}")
    details = (f"{key}: {current.get(key)} → {wanted.get(key)}" for key in differing)
    return Change(what, "updated", "; ".join(details))


def _same(current: Any, wanted: Any) -> bool:
    """Whether what the server tells holds what was asked for; it leaves out what is empty, and adds what it likes."""
    if isinstance(wanted, dict):
        fields = cast("Config", wanted)
        return isinstance(current, dict) and all(
            _same(cast("Config", current).get(key), value) for key, value in fields.items()
        )
    if isinstance(wanted, list):
        ours, theirs = cast("list[Any]", wanted), cast("list[Any]", current)
        return (
            isinstance(current, list)
            and len(theirs) == len(ours)
            and all(_same(one, other) for one, other in zip(theirs, ours, strict=True))
        )
    return (current or None) == (wanted or None)


async def _extra(link: Link, stream: str, info: Config, *, prune: bool) -> Change:
    what = f"consumer {stream}.{info['name']}"
    waiting = info["num_pending"] + info["num_ack_pending"]
    left = f"{waiting} message{'' if waiting == 1 else 's'} waiting" if waiting else "nothing waiting"
    if not prune:
        return Change(what, "extra", f"not part of this version, {left}; --prune deletes it")
    await api(link, f"CONSUMER.DELETE.{stream}.{info['name']}")
    return Change(what, "pruned", left)


async def consumer_infos(link: Link, stream: str) -> AsyncIterator[Config]:
    """Every consumer of a stream as the server describes it."""
    offset = 0
    while True:
        page = await api(link, f"CONSUMER.LIST.{stream}", {"offset": offset})
        infos = cast("list[Config]", page.get("consumers") or [])
        for info in infos:
            yield info
        offset += len(infos)
        if not infos or offset >= page["total"]:
            return


async def state(link: Link, stream: str) -> list[ConsumerState]:
    """See `events.bus.Bus.state`."""
    return [
        ConsumerState(
            name=info["name"],
            stream=stream,
            pending=info["num_pending"],
            unacknowledged=info["num_ack_pending"],
            redelivered=info["num_redelivered"],
            waiting=info["num_waiting"],
            finished=info["delivered"]["consumer_seq"] - info["num_ack_pending"],
        )
        async for info in consumer_infos(link, stream)
    ]
