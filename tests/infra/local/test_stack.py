"""The local stack: its servers answer, survive their own death, and keep their ports and data."""

import asyncio
import os
import signal
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.bucket import admin_client, provision_bucket
from infra.local import clamd
from infra.local.process import ProcessFailed
from infra.local.stack import LocalStack, StackOptions
from infra.local.state import StackNotRunning, StackRunning, load_stack
from infra.local.threaded import ThreadedStack
from tests.infra.local.on_nats import on_nats

OPTIONS = StackOptions(sync_always=False, system_signatures=None)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Return once the condition holds."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def clamd_says(stack: ThreadedStack, body: bytes) -> bytes:
    """clamd's answer about these bytes."""  # noqa: D403 - its name is in lower case
    reader, writer = await asyncio.open_unix_connection(stack.info.clamd_socket)
    writer.write(b"zINSTREAM\0" + len(body).to_bytes(4, "big") + body + bytes(4))
    answer = await reader.read()
    writer.close()
    return answer


async def test_the_test_signatures_are_found_and_said_to_be_tests(stack: ThreadedStack) -> None:
    """Without ClamAV's databases the built-in signatures find their strings, and the stack says what they are."""
    assert await clamd_says(stack, b"nothing special") == b"stream: OK\0"
    assert b"Tidegate-Test-Signature" in await clamd_says(stack, b"... TIDEGATE-TEST-SIGNATURE ...")
    assert stack.info.signatures == "built-in test signatures"
    assert stack.info.signatures_label.startswith("test-")
    assert stack.settings("functions").signatures_label == stack.info.signatures_label


async def test_a_server_that_dies_is_restarted_with_its_port_and_data(stack: ThreadedStack) -> None:
    """SIGKILLed from outside, NATS comes back by itself on its port, with what it had acknowledged."""
    before = stack.nats.pid
    async with on_nats(stack, "operator") as operator:
        await operator.ask("STREAM.CREATE.KEPT", {"name": "KEPT", "subjects": ["kept"]})
        await operator.store("kept")

    os.kill(before, signal.SIGKILL)

    async def replaced() -> bool:
        return stack.nats.running and stack.nats.pid != before

    await eventually(replaced)
    await stack.nats.wait_ready()
    async with on_nats(stack, "operator") as operator:
        assert (await operator.ask("STREAM.INFO.KEPT"))["state"]["messages"] == 1
        await operator.ask("STREAM.DELETE.KEPT")


@pytest.mark.parametrize("name", ["minio", "mongo", "clamd"])
async def test_a_killed_server_stays_down_until_started(stack: ThreadedStack, name: str) -> None:
    """A test that kills a server decides when it returns, on the same port."""
    server = getattr(stack, name)
    await server.kill()
    assert not server.running
    with pytest.raises(ProcessFailed):
        _ = server.pid
    await server.restart()
    assert server.running
    await server.wait_ready()


async def test_a_frozen_server_answers_again_after_thaw(stack: ThreadedStack) -> None:
    """SIGSTOP keeps connections open and silent; after SIGCONT the same process goes on."""
    before = stack.clamd.pid
    stack.clamd.freeze()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await clamd.ready(stack.info.clamd_socket)
    stack.clamd.thaw()
    await stack.clamd.wait_ready()
    assert stack.clamd.pid == before


async def test_another_shell_can_read_a_running_stack(stack: ThreadedStack) -> None:
    """Addresses and credentials are in a file for this user alone, and only one stack may use a directory."""
    data = stack.info.data
    assert load_stack(data) == stack.info
    for name in ("stack.json", "secrets.json", "nats/nats.conf"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
    with pytest.raises(StackRunning, match="already running"):
        await LocalStack(data, options=OPTIONS).start()


async def test_a_stopped_stack_keeps_ports_and_secrets_and_leaves_no_process(tmp_path: Path) -> None:
    """The next start of the same directory has the same addresses, credentials, objects and streams.

    The streams also where they were stored before subscribers had an account of their own.
    """
    data = tmp_path / "data"
    with pytest.raises(StackNotRunning, match="tidegate up"):
        load_stack(data)
    async with LocalStack(data, options=OPTIONS) as first:
        settings = first.settings("operator")
        await asyncio.to_thread(provision_bucket, settings)
        async with on_nats(first, "operator") as operator:
            await operator.ask("STREAM.CREATE.KEPT", {"name": "KEPT", "subjects": ["kept"]})
            await operator.store("kept")
        pids = [server.pid for server in (first.minio, first.nats, first.mongo, first.clamd)]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(StackNotRunning):
        load_stack(data)
    jetstream = data / "nats" / "jetstream"
    (jetstream / "TIDEGATE").rename(jetstream / "$G")
    async with LocalStack(data, options=OPTIONS) as second:
        assert second.settings("operator") == settings
        assert await asyncio.to_thread(admin_client(settings).bucket_exists, bucket_name=settings.bucket)
        async with on_nats(second, "operator") as operator:
            assert (await operator.ask("STREAM.INFO.KEPT"))["state"]["messages"] == 1


async def test_a_long_data_path_still_has_a_socket_for_clamd(tmp_path: Path) -> None:
    """Unix socket paths end at 107 bytes; a deeper data directory gets a short one elsewhere, removed at the end."""
    async with LocalStack(tmp_path / ("deep" * 30), options=OPTIONS) as stack:
        socket = stack.info.clamd_socket
        assert await clamd.ready(socket)
    assert not socket.parent.exists()
