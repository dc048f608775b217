"""ClamAV, asked over a socket: is this stream clean, infected, or impossible to say?

Only clamd's exact `stream: OK` after the whole stream was sent is clean. Anything that isn't one of its answers (an
error, half a line, silence, a closed connection) is `DependencyDown("clamd", …)`: the file waits, it isn't judged.
The protocol: https://docs.clamav.net/manual/Usage/Scanning.html and `man clamd`.
"""

import hashlib
import re
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Self

from infra.clamd_wire import HungUp, Wire
from infra.errors import DependencyDown
from infra.settings import Settings

CONNECT_SECONDS: Final = 2.0
WRITE_SECONDS: Final = 10.0
REPLY_SECONDS: Final = 30.0
PROBE_SECONDS: Final = 2.0
# clamd scans 100 MB in half a second; a reply is waited for this much slower than that.
SLOWEST_BYTES_PER_SECOND: Final = 4 * 1024 * 1024

_OPENING: Final = b"zIDSESSION\0zVERSION\0zINSTREAM\0"
_END: Final = b"\0\0\0\0zEND\0"
# To VERSION and to INSTREAM, which a session numbers.
_ANSWERS: Final = ("1: ", "2: ")
_TOO_LONG: Final = "INSTREAM size limit exceeded. ERROR"
_NOT_LOOKED_INTO: Final = ("Heuristics.Limits.Exceeded", "Heuristics.Encrypted")
_VERSION: Final = re.compile(r"ClamAV ([^/\s]+)(?:/(\d+)/(.+))?")


@dataclass(frozen=True, slots=True)
class ClamVersion:
    """Who scanned, and with what.

    Attributes:
        engine: ClamAV's version, such as `1.4.6`.
        signatures: The daily database's version; none when only an operator's own signatures are loaded.
        signatures_date: When that database was made, in clamd's words.
    """

    engine: str
    signatures: int | None = None
    signatures_date: str | None = None

    @property
    def signatures_at(self) -> datetime | None:
        """When that database was made, if clamd says so: to the day, since it says it in a time zone of its own."""
        with suppress(ValueError):
            return datetime.strptime(self.signatures_date or "", "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What clamd said about one stream.

    Attributes:
        status: `clean`, `infected`, or `unscannable`: over one of clamd's limits or encrypted.
        signature: The signature that was found (`infected`), or the limit that was met (`unscannable`).
        size: Bytes of the stream that clamd was given.
        sha256: Of those bytes, in hexadecimal; none when clamd wouldn't take the whole stream.
        version: Engine and signatures as the stream began. When newer ones were loaded before its end, the scan used
            those, and the verdict claims less than was looked for rather than more.
    """

    status: Literal["clean", "infected", "unscannable"]
    signature: str | None
    size: int
    sha256: str | None
    version: ClamVersion


class Clamd:
    """A clamd, by its Unix socket's path or `tcp://host:port`. Every method can raise `DependencyDown("clamd", …)`."""

    def __init__(
        self, address: str, *, write_seconds: float = WRITE_SECONDS, reply_seconds: float = REPLY_SECONDS
    ) -> None:
        self._address = address
        self._write_seconds = write_seconds
        self._reply_seconds = reply_seconds

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The clamd that this process is told to use."""
        return cls(settings.clamd_socket)

    async def scan(self, chunks: AsyncIterable[bytes]) -> Verdict:
        """Scan a stream, taking its SHA-256 on the way, in flat memory.

        One chunk is sent and hashed at a time; what the source raises ends the scan and passes through.

        Args:
            chunks: The bytes, best in pieces of 64 KiB and more: each costs clamd two reads.
        """
        wire = await Wire.connect(self._address, CONNECT_SECONDS)
        try:
            return await self._scanned(wire, chunks)
        finally:
            wire.close()

    async def ping(self) -> None:
        """Return if clamd answers within two seconds."""
        answer = await self._command("PING")
        if answer != "PONG":
            raise DependencyDown("clamd", f"answered {answer[:100]!r} to PING")

    async def version(self) -> ClamVersion:
        """Ask for engine and signatures."""
        return _version(await self._command("VERSION"))

    async def stats(self) -> str:
        """Clamd's own report on its threads, queue and memory, for operators."""
        return await self._command("STATS")

    async def _command(self, name: str) -> str:
        wire = await Wire.connect(self._address, CONNECT_SECONDS)
        try:
            await wire.send(b"z", f"{name}\0".encode(), PROBE_SECONDS)
            return await wire.line(PROBE_SECONDS)
        except HungUp as error:
            raise DependencyDown("clamd", str(error)) from error
        finally:
            wire.close()

    async def _scanned(self, wire: Wire, chunks: AsyncIterable[bytes]) -> Verdict:
        # A session costs nothing measurable over a plain INSTREAM and gives VERSION on the same connection. It is asked
        # before: clamd answers it in two pieces, and of one asked behind the stream the verdict may come in between.
        digest, size, head = hashlib.sha256(), 0, _OPENING
        complete = False
        try:
            async for chunk in chunks:
                if not chunk:
                    continue  # a length of zero would end the stream
                await wire.send(head + len(chunk).to_bytes(4, "big"), chunk, self._write_seconds)
                head = b""
                digest.update(chunk)
                size += len(chunk)
            # An answer before the end isn't about this stream, whatever it says.
            if not wire.heard(_ANSWERS[-1]):
                await wire.send(head, _END, self._write_seconds)
                complete = True
        except HungUp:
            pass  # clamd hung up on a stream that is too long; its answer is still there to be read
        patience = self._reply_seconds + size / SLOWEST_BYTES_PER_SECOND
        version, answer = [await _answer(wire, number, patience) for number in _ANSWERS]
        status, signature = _judge(answer, complete=complete)
        return Verdict(status, signature, size, digest.hexdigest() if complete else None, _version(version))


async def _answer(wire: Wire, number: str, seconds: float) -> str:
    """The session's next answer, without the number of the command it belongs to."""
    line = await wire.line(seconds)
    if not line.startswith(number):
        raise DependencyDown("clamd", f"answered {line[:100]!r}")
    return line.removeprefix(number)


def _judge(answer: str, *, complete: bool) -> tuple[Literal["clean", "infected", "unscannable"], str | None]:
    if answer == _TOO_LONG:
        return "unscannable", "StreamMaxLength"
    if complete and answer == "stream: OK":
        return "clean", None
    if complete and answer.startswith("stream: ") and answer.endswith(" FOUND"):
        name = answer.removeprefix("stream: ").removesuffix(" FOUND")[:256]
        return ("unscannable" if name.startswith(_NOT_LOOKED_INTO) else "infected"), name
    raise DependencyDown("clamd", f"answered {answer[:100]!r}" + ("" if complete else " before the stream's end"))


def _version(answer: str) -> ClamVersion:
    found = _VERSION.fullmatch(answer)
    if found is None:
        raise DependencyDown("clamd", f"answered {answer[:100]!r} to VERSION")
    engine, number, date = found.groups()
    return ClamVersion(engine, int(number) if number else None, date)
