"""`tidegate health`: what is up, what is down, what waits, and whether the scanner really scans."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import aiohttp
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.application import application
from cli.connect import objects_of, settings
from cli.failures import DOWN, PROBLEM, explain
from cli.output import emit, out, shown
from cli.unfinished import stuck
from events import dead
from events.bus import Bus, BusError, ConsumerState
from events.lanes import consumer_names
from events.nats import NatsBus
from events.registry import Function, load
from events.streams import stream_of
from infra.clamd import Clamd
from infra.clamd_check import shortcomings
from infra.documents import Documents
from infra.errors import DependencyDown
from infra.settings import Settings
from schemas.api import OLD_SIGNATURES, TEST_SIGNATURES

# MongoDB's client says after five seconds why it found no server.
SECONDS = 5.5
STANDING_STILL_SECONDS = 600.0

Status = Literal["up", "down", "problem", "warning", "unknown"]
_STYLES = {"up": "green", "down": "bold red", "problem": "bold yellow", "warning": "bold yellow", "unknown": "dim"}
_SIGNS = {"up": "●", "down": "✗", "problem": "!", "warning": "!", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Status
    detail: str = ""


async def health(data: Path | None, *, as_json: bool) -> int:
    """Look at everything at once; 3 if a dependency is down, 1 if something needs a person."""
    told = settings(data)
    findings = await look(told)
    if as_json:
        emit(
            {
                "healthy": not any(one.status in {"down", "problem"} for one in findings),
                "down": [one.name for one in findings if one.status == "down"],
                "problems": [one.name for one in findings if one.status == "problem"],
                "test_signatures": any(one.detail == TEST_SIGNATURES for one in findings),
                "findings": [asdict(one) for one in findings],
            }
        )
    else:
        _show(findings)
    if any(one.status == "down" for one in findings):
        return DOWN
    return PROBLEM if any(one.status == "problem" for one in findings) else 0


async def look(told: Settings) -> list[Finding]:
    """Everything that can be known about an installation; no question takes longer than a few seconds."""
    groups = await asyncio.gather(
        _asked("nats", lambda: _nats(told), "consumers", "dead letters"),
        _asked("minio", lambda: _minio(told)),
        _asked("mongo", lambda: _mongo(told), "stuck"),
        _asked("clamd", lambda: _clamd(told)),
        _asked("gateway", lambda: _gateway(told)),
    )
    order = ("nats", "minio", "mongo", "clamd", "signatures", "gateway", "consumers", "stuck", "dead letters")
    return sorted((one for group in groups for one in group), key=lambda one: order.index(one.name))


async def _asked(name: str, ask: Callable[[], Awaitable[list[Finding]]], *unknown: str) -> list[Finding]:
    """A server's findings; it is down, and what only it knows is unknown, when it does not answer."""
    try:
        async with asyncio.timeout(SECONDS):
            return await ask()
    except TimeoutError:
        reason = f"no answer within {SECONDS:g} s: it is frozen, overloaded or unreachable"
    except (BusError, DependencyDown) as error:
        reason = error.reason if isinstance(error, DependencyDown) else str(error).rstrip(".:")
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        reason = explained[1]
    return [Finding(name, "down", reason), *(Finding(one, "unknown", f"{name} knows") for one in unknown)]


async def _nats(told: Settings) -> list[Finding]:
    bus = await NatsBus.connect(told.nats_url, name="tidegate health", timeout=3.0)
    try:
        await bus.alive()
        letters = [letter async for _, letter in dead.letters(bus)]
        found = [Finding("nats", "up", "JetStream answers"), await consumers(bus)]
    finally:
        await bus.aclose()
    if letters:
        by = ", ".join(sorted({letter.function for letter in letters}))
        found.append(Finding("dead letters", "problem", f"{len(letters)} of {by}: `tidegate dead ls` lists them"))
    else:
        found.append(Finding("dead letters", "up", "none"))
    return found


async def consumers(bus: Bus) -> Finding:
    """Whether every function has its consumers, and somebody works on them."""
    functions, app = list(load()), application()
    streams = {stream_of(function, app) for function in functions}
    states = {state.name: state for stream in streams for state in await bus.state(stream)}
    problems = [problem for function in functions if (problem := _lacking(function, app.lanes, states))]
    waiting = sum(state.pending for state in states.values())
    running = sum(state.unacknowledged for state in states.values())
    if problems:
        return Finding("consumers", "problem", "; ".join(problems))
    return Finding("consumers", "up", f"{len(functions)} functions, {waiting} events wait, {running} are worked on")


def _lacking(function: Function, lanes: Iterable[str], states: Mapping[str, ConsumerState]) -> str:
    """What a function's consumers lack, if anything: who works on one of its lanes works on all."""
    names = consumer_names(function, lanes).values()
    missing = [name for name in names if name not in states]
    if missing:
        return f"{function.name} has no consumer{_named(missing, function)}: run `tidegate provision`"
    found = [states[name] for name in names]
    if not any(state.waiting or state.unacknowledged for state in found):
        waiting = sum(state.pending for state in found)
        return f"nobody works on {function.name} ({waiting} wait): run `tidegate run {function.name}`"
    return ""


def _named(missing: Sequence[str], function: Function) -> str:
    return f" {', '.join(missing)}" if function.lanes else ""


async def _minio(told: Settings) -> list[Finding]:
    async with objects_of(told) as objects:
        await objects.alive()
    return [Finding("minio", "up", f"bucket {told.bucket}")]


async def _mongo(told: Settings) -> list[Finding]:
    documents = Documents.from_settings(told)
    try:
        await documents.alive()
        count = await documents.count()
    finally:
        await documents.aclose()
    still = await stuck(told, STANDING_STILL_SECONDS)
    found = [Finding("mongo", "up", f"{count} documents")]
    if still:
        detail = f"{len(still)} stand still for more than {STANDING_STILL_SECONDS / 60:g} minutes, such as {still[0]}"
        found.append(Finding("stuck", "problem", f"{detail}: `tidegate trace` says what it waits for"))
    else:
        found.append(Finding("stuck", "up", "none"))
    return found


async def _clamd(told: Settings) -> list[Finding]:
    clamd = Clamd.from_settings(told)
    await clamd.ping()
    version = await clamd.version()
    label = told.signatures_label or "no database of ClamAV's own"
    if not told.signatures_label and version.signatures is not None:
        label = f"{version.signatures} of {version.signatures_date}"
    wrong = await shortcomings(clamd)
    found = [
        Finding("clamd", "problem", f"ClamAV {version.engine} {'; '.join(wrong)}")
        if wrong
        else Finding("clamd", "up", f"ClamAV {version.engine}, signatures {label}")
    ]
    days = (datetime.now(UTC) - version.signatures_at).days if version.signatures_at else 0
    if "test" in told.signatures_label or version.signatures is None:
        found.append(Finding("signatures", "warning", TEST_SIGNATURES))
    elif days > told.signatures_max_age_days:
        found.append(Finding("signatures", "problem", OLD_SIGNATURES.format(days=days)))
    return found


async def _gateway(told: Settings) -> list[Finding]:
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    url = told.gateway_url.rstrip("/")
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{url}/readyz") as answer:
            if answer.status == HTTPStatus.OK:
                return [Finding("gateway", "up", url)]
            down = [name for name, each in (await answer.json())["dependencies"].items() if not each["up"]]
            return [Finding("gateway", "problem", f"{url} is up and not ready: it doesn't reach {', '.join(down)}")]
    except (aiohttp.ClientError, OSError) as error:
        raise DependencyDown("gateway", f"{url}: {error}") from error


def _show(findings: list[Finding]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    loud = [one for one in findings if one.name == "signatures"]
    for one in findings:
        if one not in loud:
            style = _STYLES[one.status]
            table.add_row(
                Text(_SIGNS[one.status], style=style),
                one.name,
                shown(one.detail, style if one.status != "up" else ""),
            )
    out().print(table)
    for one in loud:
        out().print(Panel(Text(one.detail, style="bold red"), border_style="red"))
