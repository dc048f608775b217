"""`make demo`: real files through presigned uploads and the real stack, with every event shown as it happens."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic_core import from_json
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn
from rich.rule import Rule
from rich.text import Text

from bench.item import Item
from bench.renditions import show_renditions, wait_for_a_person
from bench.samples import SAMPLES
from cli.client import Gateway, Refused
from cli.connect import configuration, connected, following
from cli.failures import PROBLEM, USAGE, explain
from cli.installation import Installation
from cli.lines import live
from cli.output import out, shown
from cli.printable import printable, printable_lines
from cli.tail import newest
from cli.up import stop_on_signals
from cli.upload import Wish, request_for, results_table
from events.bus import Bus
from infra import logs
from infra.tokens import issue
from schemas.api import TEST_SIGNATURES
from schemas.document import Fold

OWNER = "alice"
SAMPLES_SECONDS = 300.0
OWN_FILES_SECONDS = 3600.0
AT_ONCE = 4


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration with the samples, or with the user's own files.

    Returns:
        0 if every file ended as it should.
    """
    logs.configure(configuration().model_copy(update={"log_level": "warning"}))
    files = [Path(argument) for argument in arguments]
    if wrong := [_unusable(file) for file in files if not file.is_file()]:
        sys.stderr.write("".join(f"{printable(each)}.\n" for each in wrong))
        return USAGE
    data = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    code = PROBLEM
    try:
        code = asyncio.run(_stoppable(data, files))
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        code = explained[0]
        sys.stderr.write(f"{printable_lines(explained[1])}\n")
    finally:
        if code == PROBLEM:
            sys.stderr.write(f"The servers' logs and data are kept in {data}.\n")
        else:
            shutil.rmtree(data, ignore_errors=True)
    return code


def _unusable(file: Path) -> str:
    if file.is_dir():
        return f"{file} is a directory: name its files"
    return f"{file} is no file" if file.exists() else f"No such file: {file}"


async def _stoppable(data: Path, files: Sequence[Path]) -> int:
    stop = stop_on_signals()
    showing = asyncio.create_task(_demo(data, files))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([showing, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not showing.done():
        out().print(Text("Stopping everything …", style="dim"))
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        return 130
    stopping.cancel()
    return await showing


async def _demo(data: Path, files: Sequence[Path]) -> int:
    begun = time.monotonic()
    console = out()
    console.print(Rule("[bold]Tidegate[/] · the real servers, on this machine", style="cyan"))
    with console.status("starting …") as status:
        installation = Installation(data, progress=lambda what: status.update(f"starting {what} …"))
        await installation.start()
    try:
        _introduce(installation, time.monotonic() - begun)
        items = await asyncio.to_thread(_items, data / "samples", files)
        await _push(installation, items, OWN_FILES_SECONDS if files else SAMPLES_SECONDS)
        console.print(Rule(style="dim"))
        console.print(results_table([item.result() for item in items]))
        await _show(installation, items)
    finally:
        with console.status("stopping everything …"):
            await installation.stop()
    wrong = [item for item in items if not item.right]
    console.print()
    for item in wrong:
        codes = f" ({' or '.join(item.codes)})" if item.codes else ""
        expected = " or ".join(item.expected) + codes
        console.print(shown(f"✗ {item.name} should have been {expected}.", "bold red"))
    if not wrong:
        console.print(Text(f"✓ All {len(items)} files ended as they should.", style="bold green"))
    console.print(Text(f"Everything is stopped. {time.monotonic() - begun:.1f} s in all.", style="dim"))
    return PROBLEM if wrong else 0


def _introduce(installation: Installation, seconds: float) -> None:
    info = installation.info
    gateway = info.environment("gateway")["TIDEGATE_GATEWAY_URL"]
    servers = ", ".join(f"{name} :{info.ports[name]}" for name in ("minio", "nats", "mongo"))
    out().print(Text.assemble((f"up after {seconds:.1f} s  ", "green"), f"gateway {gateway}, {servers}, clamd"))
    if not info.real_signatures:
        out().print(Panel(Text(TEST_SIGNATURES, style="bold red"), border_style="red", expand=False))
    out().print()


async def _show(installation: Installation, items: Sequence[Item]) -> None:
    """What was made; a person may play the film until he has seen enough."""
    gateway_url = installation.info.environment("gateway")["TIDEGATE_GATEWAY_URL"]
    async with Gateway.at(gateway_url, _token(installation)) as gateway:
        address = await show_renditions(gateway, items)
    if wait_for_a_person(address):
        out().print(Text("Any player of HLS plays it. Press Enter to stop everything …", style="dim"))
        await _enter()


async def _enter() -> None:
    loop, pressed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, pressed.set)
    try:
        await pressed.wait()
    finally:
        loop.remove_reader(sys.stdin)


def _token(installation: Installation) -> str:
    return issue(installation.info.secrets["jwt"], owner=OWNER, scopes=("upload", "read"))


def _items(folder: Path, files: Sequence[Path]) -> list[Item]:
    if files:
        return [Item(file, file.name, ("ready", "rejected", "quarantined")) for file in files]
    folder.mkdir()
    return [Item(sample.write(folder), sample.name, (sample.state,), sample.codes) for sample in SAMPLES]


async def _push(installation: Installation, items: Sequence[Item], seconds: float) -> None:
    """Upload everything and show what happens until all of it came to an end."""
    info = installation.info
    # Who may read events and nothing else, as any service that subscribes.
    async with (
        connected(info.settings("subscriber"), "demo") as bus,
        Gateway.at(info.environment("gateway")["TIDEGATE_GATEWAY_URL"], _token(installation)) as gateway,
    ):
        by_id: dict[str, Item] = {}
        width = min(40, max(len(item.name) for item in items))
        watching = asyncio.create_task(_watch(bus, await newest(bus) + 1, by_id, width))
        slots = asyncio.Semaphore(AT_ONCE)
        sending = _Sending(items)
        try:
            async with asyncio.timeout(seconds):
                with sending:
                    await asyncio.gather(*(_carry(gateway, item, by_id, slots, sending) for item in items))
        except TimeoutError:
            out().print(Text(f"Not everything ended within {seconds:g} s.", style="bold red"))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


class _Sending(Progress):
    """A bar of the bytes on their way, below the events."""

    def __init__(self, items: Sequence[Item]) -> None:
        columns = (
            SpinnerColumn(finished_text="…"),
            TextColumn("{task.description}"),
            BarColumn(30),
            DownloadColumn(binary_units=True),
        )
        super().__init__(*columns, console=out(), transient=True)
        self._bar = self.add_task("uploading", total=sum(item.file.stat().st_size for item in items))

    def sent(self, count: int) -> None:
        """So many bytes more."""
        self.advance(self._bar, count)
        if self.finished:
            self.update(self._bar, description="uploaded, the functions are at work")


async def _carry(
    gateway: Gateway, item: Item, by_id: dict[str, Item], slots: asyncio.Semaphore, sending: _Sending
) -> None:
    request = await asyncio.to_thread(request_for, item.file, Wish())
    async with slots:
        try:
            ticket = await gateway.ask(request)
            item.media_id, item.fold = ticket.media_id, Fold(ticket.media_id)
            by_id[ticket.media_id] = item
            await gateway.send(ticket, item.file, request.size, sending.sent)
        except Refused as refusal:
            item.refusal = str(refusal)
            return
        item.sent_at = time.monotonic()
    await item.settled.wait()


async def _watch(bus: Bus, start: int, by_id: dict[str, Item], width: int) -> None:
    """Show events as they come, each with its file's name."""
    async with following(bus, "EVENTS", ["events.>"], start) as messages:
        async for stored in messages:
            event = from_json(stored.data)
            # The gateway says `requested` before its answer is here: the name is in the event itself.
            out().print(live(event, event["data"]["media"]["filename"].ljust(width)), soft_wrap=True)
            if (item := by_id.get(event["subject"])) is not None:
                item.take(stored.data, time.monotonic())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
