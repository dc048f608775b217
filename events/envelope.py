"""CloudEvents 1.0, structured JSON mode (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md)."""

import hashlib
import re
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from events.errors import Unreadable

MAX_BYTES = 64 * 1024
CONTENT_TYPE = "application/cloudevents+json"
HEADERS = {"content-type": CONTENT_TYPE}
_IDS = uuid.UUID("6e0b7c52-7d7c-5f0e-9a53-9e3a0f9b8a11")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")

Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Token = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20\x7f.*>]{1,128}$")]
"""One token of a NATS subject."""


class Event(Protocol):
    """What the runtime asks of an event's model (a pydantic model)."""

    @classmethod
    def type(cls) -> str:
        """The CloudEvents type."""
        ...

    def about(self) -> str:
        """The CloudEvents subject: the id of the thing the event is about."""
        ...

    def part(self) -> str | None:
        """What tells outputs of one function apart; None: the function's name."""
        ...

    def basis(self) -> str | None:
        """What the id is computed from; None: the input event's id."""
        ...

    def variant(self) -> str:
        """What may differ between two attempts at the same input."""
        ...


class Envelope(BaseModel):
    """One event as it travels. `data` is a model when written and plain JSON when read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: Text
    type: Text
    source: Text
    subject: Token
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: Text
    traceparent: Text
    lane: Token
    run: Token
    part: Token
    causationid: Text | None = None
    functionversion: Text | None = None
    replayname: Text | None = None
    data: Any

    def encode(self) -> bytes:
        """The message's payload.

        Raises:
            ValueError: it is larger than 64 KiB.
        """
        payload = self.__pydantic_serializer__.to_json(self, exclude_none=True)
        if len(payload) > MAX_BYTES:
            raise ValueError(
                f"{self.type} of {self.subject} has {len(payload)} bytes; an event has {MAX_BYTES} at most"
            )
        return payload

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a message's payload.

        Raises:
            Unreadable: it is no CloudEvent of ours.
        """
        if len(payload) > MAX_BYTES:
            raise Unreadable(f"{len(payload)} bytes are no event; an event has {MAX_BYTES} at most")
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise Unreadable(f"not a CloudEvent: {problems(error)}") from error


def problems(error: ValidationError) -> str:
    """What is wrong and where, without the values: they may be file names, and this is logged."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'all'}: {each['msg']}" for each in details)


def derive_id(*parts: str) -> str:
    """The UUIDv5 of the parts: the same input gives the same id on every machine."""
    return str(uuid.uuid5(_IDS, "\x1f".join(parts)))


def follow(event: Event, *, cause: Envelope, function: str, version: str, now: datetime | None = None) -> Envelope:
    """Wrap what a function made of `cause`; the id is computed from the input: running twice is running once."""
    part = event.part() or function
    basis = event.basis()
    event_id = derive_id(function, cause.id if basis is None else basis, cause.run, event.type(), part, event.variant())
    return Envelope(
        id=event_id,
        type=event.type(),
        source=f"/functions/{function}",
        subject=event.about(),
        time=now or datetime.now(UTC),
        dataschema=schema_uri(event.type()),
        traceparent=child_span(cause.traceparent, event_id),
        lane=cause.lane,
        run=cause.run,
        part=part,
        causationid=cause.id,
        functionversion=version,
        replayname=cause.replayname,
        data=event,
    )


def begin(
    event: Event, *, event_id: str, source: str, lane: str, run: str = "0", traceparent: str | None = None
) -> Envelope:
    """Wrap an event that no function made: the first of a media, or a person's deed."""
    return Envelope(
        id=event_id,
        type=event.type(),
        source=f"/{source}",
        subject=event.about(),
        time=datetime.now(UTC),
        dataschema=schema_uri(event.type()),
        traceparent=traceparent or root_span(event_id),
        lane=lane,
        run=run,
        part=event.part() or source,
        data=event,
    )


def schema_uri(event_type: str) -> str:
    """The `$id` of the published JSON Schema of an event type."""
    return f"urn:tidegate:schemas:{event_type.removeprefix('tidegate.')}"


def root_span(seed: str) -> str:
    """A new trace (https://www.w3.org/TR/trace-context/), made from an id so that a second attempt continues it."""
    digest = hashlib.blake2b(seed.encode(), digest_size=24).hexdigest()
    return f"00-{digest[:32]}-{digest[32:]}-01"


def child_span(parent: str, seed: str) -> str:
    """A span of the same trace; a new trace where the parent is none."""
    known = _TRACEPARENT.fullmatch(parent)
    if known is None:
        return root_span(seed)
    return f"00-{known[1]}-{hashlib.blake2b(seed.encode(), digest_size=8).hexdigest()}-{known[2]}"
