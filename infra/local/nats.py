"""nats-server's configuration, and the one place that says who may do what on NATS.

Every user answers to its own inbox prefix, `_INBOX_<user>`, so nobody can listen to another's replies; the NATS
client takes it from the user name in its URL. The one exception is MinIO, whose client only knows `_INBOX`.

Subscribers live in an account of their own. The permission to publish says nothing of the subject one wants to be
answered on: JetStream's answer to a question whose reply subject is `media.…` was stored in MEDIA. Across accounts the
answer comes to the asker's own.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_WORKED_STREAMS = ("UPLOADS", "MEDIA", "TICKS")  # streams on which functions have consumers
_READ_STREAMS = ("UPLOADS", "MEDIA", "DEAD", "TICKS", "KV_attempts", "KV_cursors")

ACCOUNT = "TIDEGATE"
_OUTSIDE = "SUBSCRIBERS"
_OUTSIDERS = ("subscriber",)
_API = "$JS.API.>"


@dataclass(frozen=True)
class Permissions:
    """Subjects a user may publish and subscribe to, as nats-server's own patterns."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def inbox_prefix(user: str) -> str:
    """The subject prefix under which a user's replies come."""
    return f"_INBOX_{user}"


def permissions() -> dict[str, Permissions]:
    """What each user may do. Nobody but the operator makes, changes or deletes a stream or a worker's consumer.

    Functions are trusted with one way around it: who acknowledges may name any subject for the empty answer, in the
    account of the streams JetStream's own as well, and an empty request to delete is one.
    """
    return {
        "operator": Permissions((">",), (">",)),
        "minio": Permissions(("minio.>",), ("_INBOX.>",)),
        "functions": Permissions(
            (
                "media.>",
                "invoke.>",
                "dead.>",
                "tick.>",
                "progress.>",
                "$KV.attempts.>",
                "$KV.cursors.>",
                "minio.sweep",
                *_work(*_WORKED_STREAMS),
                *_read(*_READ_STREAMS),
                *_list(*_READ_STREAMS),
            ),
            (f"{inbox_prefix('functions')}.>",),
        ),
        "gateway": Permissions(
            (
                "media.requested.>",
                "media.deleted.>",
                *_read("MEDIA", "EVENTS"),
                *_list("MEDIA", "EVENTS"),
                *_follow("EVENTS"),
            ),
            (f"{inbox_prefix('gateway')}.>", "progress.>"),
        ),
        # No list of consumers: it names the gateways' own, and where they are pushed what they read.
        "subscriber": Permissions(
            (*_read("EVENTS"), *_follow("EVENTS"), *_work("EVENTS")),
            (f"{inbox_prefix('subscriber')}.>",),
        ),
    }


def _work(*streams: str) -> list[str]:
    """Fetch from consumers that exist, and acknowledge."""
    return [
        subject
        for stream in streams
        for subject in (
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
            f"$JS.ACK.{stream}.>",
            f"$JS.ACK.*.*.{stream}.>",  # the longer form, with domain and account
        )
    ]


def _list(*streams: str) -> list[str]:
    """Learn which streams there are, and who consumes these."""
    return ["$JS.API.INFO", "$JS.API.STREAM.NAMES"] + [
        subject
        for stream in streams
        for subject in (f"$JS.API.CONSUMER.LIST.{stream}", f"$JS.API.CONSUMER.NAMES.{stream}")
    ]


def _read(*streams: str) -> list[str]:
    """Look at a stream and a consumer whose name one knows, and get single messages."""
    return [
        subject
        for stream in streams
        for subject in (
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.CONSUMER.INFO.{stream}.*",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
        )
    ]


def _follow(*streams: str) -> list[str]:
    """Make consumers of one's own, be pushed their messages, and delete them.

    Only on streams where no function works: a user who may create a consumer may change or delete any other of that
    stream, the subject can't tell whose it is, and with another filter a function would fall silent.
    """
    return [
        subject
        for stream in streams
        for subject in (
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*",
            f"$JS.API.CONSUMER.DELETE.{stream}.*",
            f"$JS.FC.{stream}.>",
        )
    ]


def authorization(passwords: Mapping[str, str]) -> str:
    """nats-server's `accounts` block for users with these passwords (plain or bcrypt)."""
    may = permissions()
    users = {
        user: {
            "user": user,
            "password": passwords[user],
            "permissions": {"publish": list(can.publish), "subscribe": list(can.subscribe)},
        }
        for user, can in may.items()
    }
    # JetStream's API as a whole: beside imports of single subjects the server answers for the account itself, that
    # it has no JetStream. Which calls a user may make, its permissions say.
    asked = [_API, *(subject for user in _OUTSIDERS for subject in may[user].publish if not _is_api(subject))]
    heard = [subject for user in _OUTSIDERS for subject in may[user].subscribe]
    accounts = {
        ACCOUNT: {
            "jetstream": "enabled",
            "users": [one for user, one in users.items() if user not in _OUTSIDERS],
            # A stream of answers: a pull is answered by many messages.
            "exports": [{"service": subject, "response_type": "stream", "accounts": [_OUTSIDE]} for subject in asked]
            + [{"stream": subject, "accounts": [_OUTSIDE]} for subject in heard],
        },
        _OUTSIDE: {
            "users": [users[user] for user in _OUTSIDERS],
            "imports": [{"service": {"account": ACCOUNT, "subject": subject}} for subject in asked]
            + [{"stream": {"account": ACCOUNT, "subject": subject}} for subject in heard],
        },
    }
    return f"accounts {json.dumps(accounts, indent=2)}\n"  # JSON is valid nats-server configuration


def _is_api(subject: str) -> bool:
    return subject.startswith(_API.removesuffix(">"))


def render(
    *,
    port: int,
    store: Path,
    passwords: Mapping[str, str],
    sync_always: bool,
    host: str = "127.0.0.1",
    monitoring_port: int | None = None,
) -> str:
    """The whole configuration of a single server; its monitoring, if any, is for its own machine alone."""
    # nats-server flushes to disk every two minutes by default and loses acknowledged messages in a power cut.
    sync = "always" if sync_always else "2m"
    return (
        f"listen: {host}:{port}\n"
        + (f"http: 127.0.0.1:{monitoring_port}\n" if monitoring_port else "")
        + "server_name: tidegate\n"
        "max_payload: 1MB\n"
        f'jetstream {{ store_dir: "{store}", sync_interval: {sync} }}\n' + authorization(passwords)
    )


def adopt(store: Path) -> None:
    """Give the account what JetStream stored before there were accounts."""
    before, now = store / "jetstream" / "$G", store / "jetstream" / ACCOUNT
    if before.exists() and not now.exists():
        before.rename(now)


async def ready(port: int, user: str, password: str) -> bool:
    """Whether the server answers a PING of this user."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        if not (await reader.readline()).startswith(b"INFO"):
            return False
        login = json.dumps({"user": user, "pass": password, "verbose": False, "lang": "python", "version": "0"})
        writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
        return (await reader.readline()).strip() == b"PONG"
    finally:
        writer.close()
