"""One connection to clamd: bytes out without copying, lines in, and a deadline on each."""

import asyncio
import socket
from typing import Final, Self
from urllib.parse import urlsplit

from infra.errors import DependencyDown

_ANSWER_LIMIT: Final = 64 * 1024
_RECEIVE_BYTES: Final = 4096
# A Unix connect is immediate, or refused with EAGAIN while clamd's backlog is full: then it is tried again this often.
_BACKLOG_SECONDS: Final = 0.02


class HungUp(Exception):
    """The peer closed its end while it was being written to; what it said before may still be readable."""


class Wire:
    """A connected socket.

    It is a bare socket, not a transport: a transport that fails to write throws away what clamd has said, and keeps
    what it couldn't send in memory.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()

    @classmethod
    async def connect(cls, address: str, seconds: float) -> Self:
        """Connect to a Unix socket's path or `tcp://host:port`.

        Raises:
            DependencyDown: Nobody listens, or nobody accepts within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                return cls(await (_connect_tcp(address) if address.startswith("tcp://") else _connect_unix(address)))
        except TimeoutError as error:
            raise DependencyDown("clamd", f"no connection within {seconds:g} s") from error
        except OSError as error:
            raise DependencyDown("clamd", f"no connection: {error}") from error

    async def send(self, head: bytes, body: bytes, seconds: float) -> None:
        """Send two byte strings one after the other, waiting until the socket has taken them.

        Raises:
            DependencyDown: It took longer than `seconds`.
            HungUp: clamd has closed the connection.
        """
        try:
            try:
                sent = self._sock.sendmsg((head, body))
            except BlockingIOError:
                sent = 0
            if sent == len(head) + len(body):
                return
            async with asyncio.timeout(seconds):
                if sent < len(head):
                    await self._loop.sock_sendall(self._sock, head[sent:])
                await self._loop.sock_sendall(self._sock, memoryview(body)[max(0, sent - len(head)) :])
        except TimeoutError as error:
            raise DependencyDown("clamd", f"took no bytes for {seconds:g} s") from error
        except OSError as error:
            raise HungUp(str(error)) from error

    def heard(self, start: str) -> bool:
        """Whether an answer that starts so has come already, at least in part; doesn't wait, and doesn't take it.

        Raises:
            HungUp: clamd has closed the connection.
        """
        try:
            self._received += self._sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            pass
        except OSError as error:
            raise HungUp(str(error)) from error
        return any(answer.startswith(start.encode()) for answer in self._received.split(b"\0"))

    async def line(self, seconds: float) -> str:
        """The next answer, without its final NUL.

        Raises:
            DependencyDown: None came within `seconds`, or the connection ended first: half an answer is none.
        """
        try:
            async with asyncio.timeout(seconds):
                while (end := self._received.find(b"\0")) < 0:
                    data = await self._loop.sock_recv(self._sock, _RECEIVE_BYTES)
                    if not data or len(self._received) > _ANSWER_LIMIT:
                        raise DependencyDown("clamd", f"ended the connection after {bytes(self._received[:100])!r}")
                    self._received += data
        except TimeoutError as error:
            raise DependencyDown("clamd", f"no answer within {seconds:g} s") from error
        except OSError as error:
            raise DependencyDown("clamd", f"ended the connection: {error}") from error
        text = self._received[:end].decode("utf-8", "replace")
        del self._received[: end + 1]
        return text

    def close(self) -> None:
        """Hang up; clamd drops a stream that wasn't complete."""
        self._sock.close()


async def _connect_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                await asyncio.sleep(_BACKLOG_SECONDS)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


async def _connect_tcp(address: str) -> socket.socket:
    loop, parts = asyncio.get_running_loop(), urlsplit(address)
    found = await loop.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, target = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock
