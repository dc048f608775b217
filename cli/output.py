"""Where words go: results to standard output, everything else to standard error."""

import json
import sys
from datetime import datetime
from functools import cache

from rich.console import Console
from rich.text import Text

from cli.printable import printable

# Whoever reads a pipe searches lines: they are not folded to fit a screen that isn't there.
PIPED_COLUMNS = 200

STYLES = {
    "ready": "bold green",
    "rejected": "yellow",
    "quarantined": "bold magenta",
    "failed": "bold red",
    "abandoned": "dim",
    "deleted": "dim",
    "processing": "cyan",
    "uploaded": "cyan",
    "pending": "dim",
    "promoted": "green",
    "done": "green",
    "playable": "green",
    "skipped": "yellow",
    "overwritten": "yellow",
    "discarded": "dim",
}
"""How a state or an event looks, wherever it stands."""


@cache
def out() -> Console:
    """Standard output, for the result."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)


@cache
def err() -> Console:
    """Standard error, for notes, progress and warnings."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPED_COLUMNS)


def emit(value: object) -> None:
    """Write one JSON value as one line of ASCII on standard output, right away."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell the person something that is no result."""
    err().print(shown(text, "dim"))


def shown(text: object, style: str = "") -> Text:
    """Anybody's words as one line: nothing in them is a command to the terminal, nor markup."""
    return Text(printable(text), style=style)


def styled(word: str) -> Text:
    """A state's or an event's name in its colour."""
    return shown(word, STYLES.get(word, ""))


def clock(moment: datetime) -> str:
    """A time of day with milliseconds, in this machine's zone."""
    return f"{moment.astimezone():%H:%M:%S}.{moment.microsecond // 1000:03d}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024 or unit == "MiB":  # noqa: PLR2004  what a KiB is
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
