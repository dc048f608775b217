"""The end of the demonstration: what was made of each file, and a film played as any player would."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from bench.item import Item
from cli.client import Gateway
from cli.output import out, shown

PLAY_SECONDS = 60.0


async def show_renditions(gateway: Gateway, items: Sequence[Item]) -> str | None:
    """Show a table of all files that were made, and play each stream over HTTP.

    Returns:
        The address of a playable master playlist, None if there is no film.
    """
    found = [(item, await gateway.status(item.media_id)) for item in items if item.media_id]
    made = [(item, status) for item, status in found if status["renditions"]]
    if not made:
        return None
    out().print(Rule(style="dim"))
    out().print(_table(made))
    films = [(item, status["hls"]) for item, status in made if status.get("hls")]
    address = None
    for item, url in films:
        frames = await _frames(url)
        address = address or url
        out().print(Text.assemble("▶ ", shown(item.name), f": ffprobe read {frames} frames of every quality from"))
        out().print(Text(f"  {url}", style="cyan"), soft_wrap=True)
    return address


def wait_for_a_person(address: str | None) -> bool:
    """Whether somebody sits at a terminal and may want to play the film before everything stops."""
    return address is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _table(made: Sequence[tuple[Item, dict[str, Any]]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("made of", "rendition", "type", "", "bytes"):
        table.add_column(title, justify="right" if title == "bytes" else "left")
    for item, status in made:
        name = item.name
        for each in status["renditions"]:
            sides = f"{each['width']}x{each['height']}" if each.get("width") else ""
            table.add_row(shown(name), shown(each["name"]), shown(each["content_type"]), sides, f"{each['size']:,}")
            name = ""
        for product, description in status["descriptions"].items():
            table.add_row(shown(name), Text(product, style="dim"), _described(description), "", "")
            name = ""
    return table


def _described(description: dict[str, Any]) -> Text:
    """The facts beside the files, on one line."""
    said: list[str] = []
    for name, value in description.items():
        if name == "loudness" and value:
            said.append(f"{value['integrated_lufs']:g} LUFS")
        elif name != "type" and isinstance(value, str | int | float) and not isinstance(value, bool):
            said.append(f"{name} {value}")
    return shown(", ".join(said)[:100], "dim")


async def _frames(url: str) -> int:
    """How many frames a player gets of each quality.

    Raises:
        RuntimeError: It can't be played, or one quality lacks frames.
    """
    asked = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-select_streams", "v", "-count_packets"),
        *("-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PLAY_SECONDS):
            said, complained = await asked.communicate()
    except BaseException:
        asked.kill()
        raise
    counts = {int(line.strip(",")) for line in said.decode().split() if line.strip(",").isdigit()}
    if asked.returncode or len(counts) != 1:
        raise RuntimeError(f"The stream can't be played: {sorted(counts)} frames. {complained.decode()[:500]}")
    return counts.pop()
