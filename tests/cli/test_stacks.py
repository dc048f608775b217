"""A stack looks after itself, and minds its own business beside another one."""

import json
import os
import signal
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from infra.local.state import StackInfo
from infra.tokens import issue
from tests.cli.conftest import Installed
from tests.cli.running import eventually, frozen, pid_of, tidegate, up

WORDS = {"nats": "nats-server", "minio": "minio server", "mongo": "mongod", "clamd": "clamd --foreground"}


def sent(info: StackInfo, body: bytes) -> str:
    """Upload a text as any client does, and don't wait for what follows; the media's id."""
    token = issue(info.secrets["jwt"], owner="alice", scopes=("upload", "read"))
    wish = json.dumps({"filename": "a.txt", "content_type": "text/plain", "size": len(body)}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    gateway = info.environment("gateway")["TIDEGATE_GATEWAY_URL"]
    with urlopen(Request(f"{gateway}/v1/uploads", wish, headers)) as answer:
        ticket = json.load(answer)
    with urlopen(Request(ticket["url"], body, ticket["headers"], method="PUT")) as answer:
        assert answer.status == 200
    return ticket["media_id"]


def state(installed: Installed, media_id: str) -> Any:
    """Where a media is, by the operator's own command; None while a server is down."""
    answer = installed.tidegate("trace", media_id, "--json")
    return answer.json["state"] if answer.code == 0 else None


@pytest.mark.faults
@pytest.mark.parametrize("name", WORDS)
def test_a_server_that_dies_is_started_again(installed: Installed, name: str) -> None:
    """SIGKILLed with a file under way, it comes back by itself, the file is ready, and health is restored."""
    before = pid_of(installed.data, WORDS[name])
    with frozen(pid_of(installed.data, "-m cli run")):
        media_id = sent(installed.info, f"{name} will be killed\n".encode())
        os.kill(before, signal.SIGKILL)
    # MinIO that dies as soon as it has answered may have told nobody: `sweep` finds the file after a pass or two.
    eventually(lambda: state(installed, media_id) == "ready", seconds=180)
    assert pid_of(installed.data, WORDS[name]) != before
    eventually(lambda: installed.tidegate("health").code == 0)


def test_two_stacks_side_by_side_never_meet(installed: Installed, tmp_path: Path) -> None:
    """The same file sent to each is a media of that one alone: its events, its document and its objects."""
    body = b"the same bytes for both\n"
    with up(tmp_path / "data"):
        other = Installed(tmp_path / "data")
        ids = {one.data: sent(one.info, body) for one in (installed, other)}
        for mine, theirs in ((installed, other), (other, installed)):
            eventually(lambda mine=mine: state(mine, ids[mine.data]) == "ready")
            # Whatever the shell's variables name, --data is what counts.
            named = theirs.info.environment("operator")
            assert mine.tidegate("trace", ids[theirs.data], "--json", **named).code == 1
            assert mine.tidegate("trace", ids[mine.data], "--json", **named).json["state"] == "ready"
            mixed = named["TIDEGATE_NATS_URL"].replace(f":{theirs.info.ports['nats']}", f":{mine.info.ports['nats']}")
            refused = tidegate("tail", variables=named | {"TIDEGATE_NATS_URL": mixed})
            assert refused.code == 3
            assert "check user and password in TIDEGATE_NATS_URL" in refused.err
        assert set(installed.info.ports.values()).isdisjoint(other.info.ports.values())
        assert not set(installed.info.secrets.values()) & set(other.info.secrets.values())
