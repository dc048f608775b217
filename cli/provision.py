"""`tidegate provision`: streams, consumers, bucket and indexes, made what they should be; and users, where asked to."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cli.application import application, retention
from cli.connect import connected, settings
from cli.failures import PROBLEM, USAGE, CommandFailed
from cli.output import emit, note, out
from cli.worker import chosen
from events import streams
from events.bus import Bus, Change
from infra.bucket import provision_bucket
from infra.deploy.users import provision_users
from infra.documents import Documents
from infra.quotas import Quotas
from infra.settings import Settings

_STYLES = {"created": "green", "updated": "yellow", "drift": "bold red", "extra": "magenta", "pruned": "yellow"}


async def provision(data: Path | None, *, prune: bool, users: Path | None, as_json: bool) -> int:
    """Provision and report each change; 1 if something differs and can't be changed."""
    found = settings(data)
    # First: the operator, who does the rest, may be among them.
    changes = _told(await provision_users(found, _secrets(users))) if users else []
    changes += await make(found, prune=prune)
    if as_json:
        emit({"changes": [{"what": each.what, "action": each.action, "detail": each.detail} for each in changes]})
    else:
        _show(changes)
    return PROBLEM if any(change.action == "drift" for change in changes) else 0


async def make(found: Settings, *, prune: bool = False) -> list[Change]:
    """Make everything that all installed functions need, with an operator's credentials.

    Raises:
        BusError: NATS did not answer, or refused.
        CommandFailed: what should be pruned is in use.
        FunctionsUnusable: somebody's functions can't be loaded.
        minio.error.S3Error: MinIO refused.
        DependencyDown: MongoDB did not answer.
    """
    functions = chosen([], found)
    async with connected(found, "provision") as bus:
        told = application(), functions, retention(found), found.ack_wait_seconds
        changes = await streams.provision(bus, *told)
        if prune and (extra := {change.what for change in changes if change.action == "extra"}):
            await _unused(bus, extra)
            pruned = await streams.provision(bus, *told, prune=True)
            changes = [change for change in changes if change.action != "extra"]
            changes += [change for change in pruned if change.action == "pruned"]
    # After the stream that takes its notifications: MinIO would lose or queue them.
    changes += _told(await asyncio.to_thread(provision_bucket, found))
    if not any(change.what.startswith("MinIO") for change in changes):
        changes.append(Change(f"MinIO bucket {found.bucket}", "unchanged"))
    async with aclosing(Documents.from_settings(found)) as documents, aclosing(Quotas.from_settings(found)) as quotas:
        made = [*await documents.provision(), *await quotas.provision()]
    changes += [Change(f"MongoDB index {name}", "created") for name in made]
    if not made:
        changes.append(Change(f"MongoDB indexes of {found.mongo_database}", "unchanged"))
    return changes


async def _unused(bus: Bus, extra: set[str]) -> None:
    """See that nobody works on what is extra: its function is installed elsewhere, and would miss all that comes.

    Raises:
        CommandFailed: Somebody does.
    """
    in_use = [
        state.name
        for stream in {what.removeprefix("consumer ").partition(".")[0] for what in extra}
        for state in await bus.state(stream)
        if state.waiting and f"consumer {stream}.{state.name}" in extra
    ]
    if in_use:
        raise CommandFailed(
            PROBLEM,
            f"Nothing was pruned: workers elsewhere ask for the events of {', '.join(sorted(in_use))}. "
            "Stop them first, or install these functions here.",
        )


def _told(lines: list[str]) -> list[Change]:
    """What MinIO's provisioning did, as changes."""
    parts = [line.partition(": ") for line in lines]
    return [
        Change(f"MinIO {what}", "created" if detail == "created" else "updated", detail) for what, _, detail in parts
    ]


def _secrets(users: Path) -> dict[str, str]:
    try:
        return json.loads(users.read_text())
    except (OSError, ValueError) as error:
        raise CommandFailed(
            USAGE, f"{users} is not what `tidegate secrets` writes as users.json ({error}): write it again."
        ) from None


def _show(changes: list[Change]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("what", no_wrap=True)
    table.add_column("action", no_wrap=True)
    table.add_column("detail", style="dim", overflow="fold")
    for change in changes:
        table.add_row(change.what, Text(change.action, style=_STYLES.get(change.action, "dim")), change.detail)
    out().print(table)
    if any(change.action == "extra" for change in changes):
        note("Extra consumers belong to functions that aren't installed here; `--prune` deletes them.")
    if any(change.action == "drift" for change in changes):
        note("What drifted can't be changed in place: delete it by hand (its messages go with it), then provision.")
