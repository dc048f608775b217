"""`tidegate up`: everything on this machine, until told to stop."""

import asyncio
import signal
import time
from pathlib import Path

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.connect import DATA, configuration
from cli.installation import Installation
from cli.output import emit, note, out
from infra import logs
from infra.local.state import StackInfo
from schemas.api import TEST_SIGNATURES

REMEDY = "Install ClamAV's databases with freshclam, or add your own with --signatures DIR."


async def up(data: Path, *, signatures: Path | None, as_json: bool) -> int:
    """Start everything, say where it is, and stop it on SIGINT, SIGTERM or SIGHUP."""
    logs.configure(configuration())
    stop = stop_on_signals()
    begun = time.monotonic()
    installation = Installation(data, signatures=signatures)
    if not await started(installation, stop):
        return 130
    try:
        seconds = time.monotonic() - begun
        if as_json:
            emit(_report(installation.info, seconds))
        else:
            _show(installation.info, seconds, data)
        await stop.wait()
        note("Stopping: what runs is finished first.")
    finally:
        await installation.stop()
    note("Stopped.")
    return 0


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set, instead of ending the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return stop


async def started(installation: Installation, stop: asyncio.Event) -> bool:
    """Start; False if it was told to stop before it was done, and then nothing runs."""
    starting = asyncio.create_task(installation.start())
    stopping = asyncio.create_task(stop.wait())
    note("Starting MinIO, NATS, MongoDB and ClamAV, then the functions and the gateway …")
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False
    await starting
    return True


def _report(info: StackInfo, seconds: float) -> dict[str, object]:
    return {
        "ready": True,
        "seconds": round(seconds, 2),
        "gateway_url": _gateway(info),
        "data": info.data,
        "pid": info.pid,
        "signatures": info.signatures,
        "test_signatures": not info.real_signatures,
    }


def _show(info: StackInfo, seconds: float, data: Path) -> None:
    where = "" if data == DATA else f" --data {data}"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("gateway", Text(_gateway(info), style="bold"))
    table.add_row("", Text("API at /openapi.json, state at /readyz", style="dim"))
    for name, label in (("minio", "MinIO"), ("nats", "NATS"), ("mongo", "MongoDB")):
        table.add_row(label, f"127.0.0.1:{info.ports[name]}")
    table.add_row("ClamAV", f"{info.signatures}")
    table.add_row("data", f"{info.data}, logs in logs/")
    table.add_row("", "")
    table.add_row("token", Text(f"tidegate token{where} --owner alice --scope upload --scope read", style="cyan"))
    table.add_row("upload", Text(f"tidegate upload{where} FILE", style="cyan"))
    table.add_row("shell", Text(f'eval "$(tidegate env{where})"', style="cyan"))
    title = f"[bold green]Tidegate is running[/] [dim]after {seconds:.1f} s · Ctrl-C stops everything[/]"
    out().print(Panel(table, title=title, title_align="left", border_style="green", padding=(1, 2)))
    if not info.real_signatures:
        out().print(Panel(Text(f"{TEST_SIGNATURES} {REMEDY}", style="bold red"), border_style="red"))


def _gateway(info: StackInfo) -> str:
    return info.environment("gateway")["TIDEGATE_GATEWAY_URL"]
