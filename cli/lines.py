"""One event as one line."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.text import Text

from cli.output import clock, size, styled
from cli.printable import printable
from schemas.document import CloudEvent, event_name

Data = dict[str, Any]

MOST_FILES = 8
SHORT = 8
"""Characters of an event's id that tell it from the others of its media."""


def function_of(event: CloudEvent) -> str:
    """Who said it: `scan` for `/functions/scan`."""
    return str(event["source"]).rpartition("/")[2]


def kind_of(event: CloudEvent) -> str:
    """The media's kind, `unknown` until identified."""
    identity: Data = event["data"].get("identity") or {}
    return str(identity.get("kind", "unknown"))


def moment(event: CloudEvent) -> datetime:
    """When it was said."""
    return datetime.fromisoformat(event["time"])


def said(event: CloudEvent) -> str:
    """What the event found, in a few words that a terminal can take."""
    say = _SAYINGS.get(event_name(event))
    return printable(say(event["data"])) if say else ""


def live(event: CloudEvent, who: str) -> Text:
    """A line of a live display; `who` names the media."""
    line = Text.assemble((clock(moment(event)), "dim"), "  ")
    word = styled(event_name(event))
    word.pad_right(max(0, 12 - len(word)))
    line.append_text(word)
    line.append(f"{printable(who)}  ", style="bold")
    if event["run"] != "0":
        line.append(f"run {printable(event['run'][-SHORT:])}  ", style="magenta")
    line.append(said(event), style="dim")
    return line


def _verdict(verdict: Data) -> str:
    by = f"ClamAV {verdict['engine']}, {verdict['signatures']}"
    if verdict["status"] == "clean":
        return f"clean ({by}; {size(verdict['bytes_scanned'])})"
    return f"{verdict['status']}: {verdict.get('signature')} ({by})"


def _probe(probe: Data) -> str:
    if "pages" in probe:
        return f"{probe['pages']} {'page' if probe['pages'] == 1 else 'pages'}"
    if "lines" in probe:
        return f"{probe['lines']} {'line' if probe['lines'] == 1 else 'lines'}, {probe.get('encoding', '')}"
    return str(probe.get("type", ""))


def _requested(data: Data) -> str:
    media: Data = data["media"]
    return f"{media['content_type']}, {size(media['size'])}, by {media.get('owner')}: {media['filename']}"


def _discarded(data: Data) -> str:
    # Of many only the first are named.
    count: int = data.get("count") or len(data.get("objects", ()))
    kept = f", kept as {data['moved_to']['key']}" if data.get("moved_to") else ""
    return f"{count} {'object' if count == 1 else 'objects'} after {data['cause']}{kept}"


def _done(data: Data) -> str:
    return ": ".join(word for word in (str(data["product"]), _files(data)) if word)


def _files(data: Data) -> str:
    """The first files and their sizes: a stream's segments aren't among them, and eight names fill a line."""
    files: list[Data] = list(data.get("renditions") or ())
    named = ", ".join(f"{file['name']} {size(file['size'])}" for file in files[:MOST_FILES])
    return f"{named} and {len(files) - MOST_FILES} more" if len(files) > MOST_FILES else named


_SAYINGS: dict[str, Callable[[Data], str]] = {
    "requested": _requested,
    "uploaded": lambda data: size(data["object"]["size"]),
    "overwritten": lambda data: f"version {data['object'].get('version_id')} lost",
    "identified": lambda data: str(data["identity"]["content_type"]),
    "scanned": lambda data: _verdict(data["verdict"]),
    "quarantined": lambda data: _verdict(data["verdict"]),
    "probed": lambda data: _probe(data["probe"]),
    "promoted": lambda data: str(data["original"]["key"]),
    "ready": lambda data: str(data["original"]["key"]),
    "rejected": lambda data: f"{data['code']}: {data['reason']}",
    "failed": lambda data: f"{data['function']}: {data['error']}",
    "done": _done,
    "playable": _files,
    "skipped": lambda data: f"{data['product']}: {data['code']}: {data['reason']}",
    "discarded": _discarded,
    "deleted": lambda data: f"by {data.get('deleted_by')}",
}
