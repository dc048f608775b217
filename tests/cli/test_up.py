"""`tidegate up`, `env`, `token` and `provision`: an installation that comes, says where it is, and goes."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest

from events.bus import ConsumerSpec
from events.nats import NatsBus
from infra.local.state import StackInfo, load_stack
from infra.tokens import Verifier
from tests.cli.conftest import Installed
from tests.cli.running import COMMAND, environment, eventually, processes_of, stop, tidegate, up


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_stops_everything_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """After SIGTERM as after Ctrl-C the exit code is 0 and no process of the stack lives."""
    data = tmp_path / "data"
    with up(data) as process:
        names = " ".join(processes_of(data).values())
        assert all(name in names for name in ("minio", "nats-server", "mongod", "clamd", "cli run", "gateway"))
        assert stop(process, number) == 0
        assert processes_of(data) == {}
        assert not (data / "stack.json").exists()


def test_up_told_to_stop_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    """A Ctrl-C before it is ready is obeyed as well."""
    data = tmp_path / "data"
    with subprocess.Popen(
        [*COMMAND, "up", "--data", str(data)], stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        eventually(lambda: any("nats-server" in command for command in processes_of(data).values()))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert processes_of(data) == {}


def test_killed_functions_and_gateway_come_back(installed: Installed) -> None:
    """They are supervised like the servers: SIGKILLed, they serve again by themselves."""

    def pid_of(words: str) -> int:
        return eventually(lambda: next((pid for pid, name in processes_of(installed.data).items() if words in name), 0))

    for words in ("-m cli run", "-m gateway"):
        before = pid_of(words)
        os.kill(before, signal.SIGKILL)
        eventually(lambda words=words, before=before: pid_of(words) != before)
    eventually(lambda: installed.tidegate("health").code == 0)


def test_a_second_up_in_the_same_directory_says_so(installed: Installed) -> None:
    """It doesn't disturb the first, and names the directory."""
    answer = tidegate("up", "--data", installed.data)
    assert answer.code == 3
    assert "already running" in answer.err
    assert str(installed.data) in answer.err


def test_up_says_loudly_that_signatures_are_for_tests(installed: Installed, tmp_path: Path) -> None:
    """Nobody takes a stack without real signatures for one that scans."""
    report = installed.tidegate("health", "--json").json
    assert report["test_signatures"] is True
    assert "TEST SIGNATURES" in installed.tidegate("health").out
    refused = tidegate("up", "--data", tmp_path / "other", "--signatures", tmp_path / "nothing")
    assert refused.code == 2
    assert "not a directory" in refused.err


def test_signatures_that_clamav_can_t_load_are_a_usage_error(tmp_path: Path) -> None:
    """Before any server starts, the operator's own file is named, with the line and what to do."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "good.hdb").write_text("44d88612fea8a8f36de82e1278abb02f:68:Some-File\n")
    (own / "bad.ndb").write_text("Fine:0:*:414243\nBad:0:*:zz\n")
    refused = tidegate("up", "--data", tmp_path / "data", "--signatures", own)
    assert refused.code == 2
    assert f"{own / 'bad.ndb'}" in refused.err
    assert "line 2" in refused.err
    assert "take it out" in refused.err
    assert not (tmp_path / "data" / "logs").exists()


def test_no_bubblewrap_is_said_before_anything_starts(tmp_path: Path) -> None:
    """Exit code 3 and the remedy, not the tail of a log."""
    tools = tmp_path / "bin"
    tools.mkdir()
    refused = tidegate("up", "--data", tmp_path / "data", variables={"PATH": str(tools)})
    assert refused.code == 3
    assert "there is no bwrap on PATH" in refused.err
    assert "TIDEGATE_SANDBOX=rlimits" in refused.err
    assert "functions.log" not in refused.err
    assert not (tmp_path / "data").exists()


def test_env_prints_what_a_shell_can_read(installed: Installed) -> None:
    """Evaluated, the lines make every other command find the installation."""
    lines = installed.tidegate("env").out
    shell = subprocess.run(
        ["sh", "-c", f"{lines}\nexec $0 health --json", COMMAND[0]],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert shell.returncode == 0, shell.stderr
    assert shell.stderr == ""


@pytest.mark.parametrize("role", ["operator", "functions", "gateway", "subscriber", "root"])
def test_env_has_each_role_s_variables(installed: Installed, role: str) -> None:
    """The same as the stack's own, as JSON."""
    info: StackInfo = load_stack(installed.data)
    assert installed.tidegate("env", "--role", role, "--json").json == info.environment(role)  # pyright: ignore[reportArgumentType]


def test_env_refuses_an_unknown_role(installed: Installed) -> None:
    """It says which there are."""
    answer = installed.tidegate("env", "--role", "king")
    assert answer.code == 2
    assert "subscriber" in answer.err


async def test_a_token_opens_the_gateway(installed: Installed) -> None:
    """A token for alice uploads as alice, in the lanes and for the audiences it grants."""
    answer = await asyncio.to_thread(
        installed.tidegate,
        *("token", "--owner", "alice", "--scope", "upload", "--lane", "bulk", "--audience", "family"),
    )
    token = answer.out.strip()
    claims = Verifier(installed.info.secrets["jwt"]).verify(token)
    assert (claims.owner, claims.scope, claims.lanes, claims.audiences) == ("alice", "upload", ("bulk",), ("family",))
    body = {"filename": "a.pdf", "content_type": "application/pdf", "size": 1, "audience": ["family"]}
    url = f"{installed.info.environment('gateway')['TIDEGATE_GATEWAY_URL']}/v1/uploads"
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {token}"}) as http,
        http.post(url, json=body) as posted,
    ):
        assert posted.status == 201


@pytest.mark.parametrize(("option", "value"), [("--scope", "rule"), ("--lane", "fast"), ("--expires", "0")])
def test_a_token_with_impossible_claims_is_a_usage_error(installed: Installed, option: str, value: str) -> None:
    """Exit code 2, and what there is instead."""
    assert installed.tidegate("token", "--owner", "alice", option, value).code == 2


async def test_provision_reports_what_it_found_and_prunes_only_when_told(installed: Installed) -> None:
    """All is unchanged; a consumer of nobody's is named with what waits in it, and deleted with --prune alone.

    A subscriber's own on EVENTS is nobody else's business.
    """

    async def provision(*options: str) -> dict[str, tuple[str, str]]:
        answer = await asyncio.to_thread(installed.tidegate, "provision", "--json", *options)
        assert answer.code == 0, answer
        return {change["what"]: (change["action"], change["detail"]) for change in answer.json["changes"]}

    assert {what for what, (action, _) in (await provision()).items() if action != "unchanged"} == set()
    bus = await NatsBus.connect(installed.info.settings().nats_url, name="test")
    former, own = (
        ConsumerSpec("MEDIA", "former", ("media.nothing.>",)),
        ConsumerSpec("EVENTS", "gallery", ("events.>",)),
    )
    try:
        await bus.provision([], [former, own])
        assert (await provision())["consumer MEDIA.former"] == (
            "extra",
            "not part of this version, nothing waiting; --prune deletes it",
        )
        assert (await provision("--prune"))["consumer MEDIA.former"] == ("pruned", "nothing waiting")
        assert "consumer MEDIA.former" not in await provision()
        assert "gallery" in {each.name for each in await bus.state("EVENTS")}
    finally:
        await bus.aclose()
