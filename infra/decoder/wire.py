"""What parent and child say: one JSON object a packet, of at most `PACKET_BYTES`, over a Unix packet socket.

A request is a nonce, a newline, a JSON object, a newline and the job's inline bytes (mostly none); the file, and the
memory that files are given back in, come with it as descriptors. An answer is a JSON object alone, with the nonce: what
was said before the question is no answer to it. The child is not trusted: whatever it says is parsed here or not
believed.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from infra.decoder.errors import DecodeCode

PACKET_BYTES = 64 * 1024
NONCE_BYTES = 16

Text = Annotated[str, Field(max_length=2000)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Refusal(_Said):
    """The job's verdict that the file cannot be accepted."""

    code: DecodeCode
    reason: Text


class Failure(_Said):
    """The job ended with an exception: out of memory, or anything else."""

    memory: bool
    detail: Text


class Answer(_Said):
    """One answer: exactly one of the three is there."""

    nonce: Text
    cpu_seconds: float = Field(ge=0, le=1e9, description="CPU time of the child so far.")
    ok: dict[str, JsonValue] | None = None
    rejected: Refusal | None = None
    failed: Failure | None = None


class Hello(_Said):
    """A child's first words: its jobs are loaded and its limits are on."""

    cpu_seconds: float = Field(ge=0, le=1e9, description="CPU time it took to get there.")


class Confinement(_Said):
    """How far the child got when told to get out."""

    network: bool
    writable: bool
    roots: list[Text]


class Garbled(Exception):
    """The child said something that is no answer."""


def nonce() -> bytes:
    """Make a word that no child can know before it is asked."""
    return secrets.token_hex(NONCE_BYTES // 2).encode()


def request(job: str, args: dict[str, JsonValue], inline: bytes, files: Sequence[str] = ()) -> bytes:
    """Encode a request, without its nonce.

    Args:
        job: The job's name.
        args: Its arguments.
        inline: Bytes for it.
        files: What the descriptors are that come with it, in order: `file`, `output`.

    Raises:
        ValueError: It doesn't fit into a packet.
    """
    packet = json.dumps({"job": job, "args": args, "files": list(files)}).encode() + b"\n" + inline
    if len(packet) > PACKET_BYTES - NONCE_BYTES - 1:
        raise ValueError(f"a decoder request of {len(packet)} bytes exceeds {PACKET_BYTES}, nonce included")
    return packet


def answer(packet: bytes, nonce: bytes) -> Answer:
    """Parse the answer to the question with this nonce.

    Raises:
        Garbled: It is not what a child may say.
    """
    try:
        said = Answer.model_validate_json(packet)
    except ValidationError as error:
        raise Garbled(f"the child's answer is malformed: {error.error_count()} errors") from error
    if said.nonce.encode() != nonce:
        raise Garbled("the child's answer is to another question")
    if (said.ok is not None) + (said.rejected is not None) + (said.failed is not None) != 1:
        raise Garbled("the child's answer is not one outcome")
    return said


def hello(packet: bytes) -> Hello:
    """Parse a child's first packet.

    Raises:
        Garbled: It is no greeting.
    """
    try:
        return Hello.model_validate_json(packet)
    except ValidationError as error:
        raise Garbled("the child's greeting is malformed") from error
