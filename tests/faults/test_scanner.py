"""A scanner that can't be believed never lets a file in, and costs none once it can be again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from events.dead import letters, retry
from infra.local.threaded import ThreadedStack
from schemas.document import event_name
from tests.faults.burst import bursting
from tests.faults.outcome import Expected

VERSION = b"ClamAV 1.4.6/27000/Sun Nov 22 08:00:00 2026"
LARGE = 1_000_000
"""More than sockets hold: what is said to it early comes before its end."""
END = b"\0\0\0\0zEND\0"

LIES: dict[str, bytes] = {
    "half a line": b"2: stream: O",
    "a line without its end": b"2: stream: OK",
    "nothing": b"",
    "an error": b"2: Can't allocate memory ERROR\0",
    "the answer to something else": b"3: stream: OK\0",
    "no number": b"stream: OK\0",
    "more than asked": b"2: stream: OK and more\0",
    "another session's": b"2: other: OK\0",
}


@asynccontextmanager
async def lying_clamd(path: Path, answer: bytes, *, early: bool = False) -> AsyncGenerator[list[int]]:
    """A clamd that answers PING and VERSION as the real one does, and a stream as it likes.

    Args:
        path: Its Unix socket.
        answer: What it says to a stream before it hangs up.
        early: Whether it answers before it has seen the stream's end.
    """
    streams: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            command = await reader.readuntil(b"\0")
            if command == b"zPING\0":
                writer.write(b"PONG\0")
            elif command == b"zVERSION\0":
                writer.write(VERSION + b"\0")
            else:
                streams.append(1)
                await reader.readuntil(b"zINSTREAM\0")
                writer.write(b"1: " + VERSION + b"\0")
                seen = b""
                while not early and not seen.endswith(END) and (data := await reader.read(65536)):
                    seen = (seen + data)[-len(END) :]
                writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield streams
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240  a moment


@pytest.mark.faults
@pytest.mark.parametrize("early", [False, True], ids=["after the stream", "before its end"])
async def test_lying_clamd_lets_nothing_in(own_stack: ThreadedStack, tmp_path: Path, *, early: bool) -> None:
    """Whatever isn't clamd's exact OK to the whole stream promotes nothing; the same files come in when it is."""
    socket = tmp_path / "c"
    told = {"attempts": 2, "stuck_after_seconds": 86_400}
    async with bursting(own_stack, tmp_path, clamd_socket=str(socket), **told) as burst:
        lies = LIES | ({"an early OK": b"2: stream: OK\0"} if early else {})
        for name, answer in lies.items():
            async with lying_clamd(socket, answer, early=early) as streams:
                ((media_id, where, body),) = await burst.request(1, size=LARGE if early else 20_000)
                await burst.sent(where, body)
                # A file on which clamd fails again and again while it answers otherwise: that is the file's fault.
                assert event_name(await burst.system.until(media_id, "failed", "promoted", "scanned")) == "failed", name
                assert len(streams) >= 2, name
        promoted = await burst.system.bus.last("MEDIA", ["media.promoted.>", "media.scanned.>"])
        assert promoted == []
        assert [entry.key async for entry in burst.system.objects.list("permanent/")] == []

        socket.symlink_to(own_stack.info.clamd_socket)
        async for stored, letter in letters(burst.system.bus):
            assert letter.function == "scan"
            await retry(burst.system.bus, stored, letter, "test")
        for media_id, expected in burst.expected.items():
            burst.expected[media_id] = Expected("ready", expected.bodies, frozenset({"failed"}))
        await burst.all_ended()
