"""What FFprobe printed, as data: https://ffmpeg.org/ffprobe.html#compact_002c-csv. Every value is a stranger's."""

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Self

_FIELD = re.compile(r"((?:[^|\\]|\\.)*)(?:\||$)")
_UNKNOWN = {"", "N/A", "unknown", "0/0"}

MOST_BEYOND = 1.5  # of what is there, with a second to spare: a last still picture may last

Fields = dict[str, str]


@dataclass(slots=True)
class Reading:
    """The sections of one FFprobe run.

    Attributes:
        streams: Each with its fields; what is unknown is not there.
        chapters: Each with `start_time` and `end_time`.
        format: The file's own fields.
        starts: By stream, when the packets at the file's beginning are presented, in seconds, in the file's order.
        seen: Streams that have any packets.
        span: From when to when anything is presented, of all packets that were kept.
    """

    streams: list[Fields] = field(default_factory=list[Fields])
    chapters: list[Fields] = field(default_factory=list[Fields])
    format: Fields = field(default_factory=dict[str, str])
    starts: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    seen: set[int] = field(default_factory=set[int])
    span: tuple[float, float] = (math.inf, -math.inf)

    @classmethod
    def of(cls, lines: list[str]) -> Self:
        """Sort the lines; an empty one says that some were left out there."""
        reading, beginning = cls(), True
        for line in lines:
            section, fields = _fields(line)
            if section == "packet":
                reading._packet(fields, beginning=beginning)
            elif section == "stream":
                reading.streams.append(fields)
            elif section == "chapter":
                reading.chapters.append(fields)
            elif section == "format":
                reading.format = fields
            elif not line:
                beginning = False
        return reading

    def _packet(self, fields: Fields, *, beginning: bool) -> None:
        stream, start = integer(fields.get("stream_index")) or 0, number(fields.get("pts_time"))
        self.seen.add(stream)
        if start is None:
            return
        if beginning:
            self.starts[stream].append(start)
        end = start + (number(fields.get("duration_time")) or 0.0)
        self.span = min(self.span[0], start), max(self.span[1], end)

    @property
    def duration(self) -> float | None:
        """Seconds that the file says it lasts."""
        return number(self.format.get("duration"))

    @property
    def seconds(self) -> float:
        """How long it lasts: measured where the file doesn't say, or says what it can't know (an AVI from a pipe)."""
        if self.duration is None or self.duration > MOST_BEYOND * self.measured + 1:
            return self.measured
        return max(0.0, self.duration)

    @property
    def measured(self) -> float:
        """Seconds from the first packet's beginning to the last one's end."""
        return max(0.0, self.span[1] - self.span[0])


def number(value: str | None) -> float | None:
    """A finite number, or none."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def integer(value: str | None) -> int | None:
    """A whole number, or none."""
    return int(value) if value is not None and re.fullmatch(r"-?[0-9]{1,18}", value) else None


def _fields(line: str) -> tuple[str, Fields]:
    section, *parts = _FIELD.findall(line) if "\\" in line else line.split("|")
    fields: Fields = {}
    for part in parts:
        name, _, value = part.partition("=")
        if value not in _UNKNOWN:
            # Of side data there may be several on one line.
            fields[name] = f"{fields[name]},{value}" if name in fields else value
    return section, fields
