"""The subjects: `media.<event>.<kind>.<lane>.<media_id>.<run>.<part>` and what is asked about them."""

from typing import NamedTuple

FIRST_RUN = "0"


class Subject(NamedTuple):
    """The tokens of an event's subject in MEDIA."""

    event: str
    kind: str
    lane: str
    media_id: str
    run: str
    part: str

    def __str__(self) -> str:
        return f"media.{self.event}.{self.kind}.{self.lane}.{self.media_id}.{self.run}.{self.part}"

    @classmethod
    def parse(cls, subject: str) -> "Subject":
        """Read a subject of MEDIA.

        Raises:
            ValueError: it is not one.
        """
        prefix, *tokens = subject.split(".")
        if prefix != "media" or len(tokens) != len(cls._fields):
            raise ValueError(f"{subject!r} is not media.<event>.<kind>.<lane>.<media_id>.<run>.<part>")
        return cls(*tokens)


def happened(event: str, media_id: str, part: str = ">") -> str:
    """The filter that answers "did this happen to this media, in any kind, lane and run?"."""
    return f"media.{event}.*.*.{media_id}.{part}" if part == ">" else f"media.{event}.*.*.{media_id}.*.{part}"


def everything(media_id: str) -> str:
    """The filter of all events of one media."""
    return f"media.*.*.*.{media_id}.>"


def invoke(function: str, lane: str, media_id: str) -> str:
    """The subject that gives an event to one function alone."""
    return f"invoke.{function}.{lane}.{media_id}"


def progress(media_id: str) -> str:
    """The core NATS subject of a media's progress."""
    return f"progress.{media_id}"


def temp_key(media_id: str) -> str:
    """Where a client uploads."""
    return f"temp/{media_id}"


def original_key(media_id: str, extension: str) -> str:
    """Where the promoted original lives."""
    return f"permanent/{media_id}/original.{extension}"


def record_key(media_id: str) -> str:
    """Where the media's record lives."""
    return f"records/{media_id}.json"


def quarantine_key(media_id: str) -> str:
    """Where an infected file is kept for operators."""
    return f"quarantine/{media_id}"
