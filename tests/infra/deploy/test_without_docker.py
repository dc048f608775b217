"""compose.yaml's own commands and health checks, all of them, as one installation that takes files."""

import json
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.infra.deploy.compose import BASE, ROOT, SMALL, Model, model, once, seconds, services
from tests.infra.deploy.pod import Pod
from tests.infra.servers import EICAR, eicar_database
from tests.samples.documents import pdf

FILES = {"good.pdf": pdf(2), "good.txt": b"Nothing but text.\n" * 20, "bad.txt": EICAR}
# Docker's own, where a service says none.
STOP_SECONDS = "10s"

# No mirror of ClamAV's can be had here: freshclam fetches these two, in the place of main and daily.
MIRROR = "".join(f"ExcludeDatabase {name}\n" for name in ("main", "daily", "bytecode")) + "".join(
    f"DatabaseCustomURL file:///mirror/{name}\n" for name in ("main.ndb", "daily.hdb")
)


def watched(of: Model) -> list[str]:
    """The services with a health check."""
    return [name for name, service in services(of) if "healthcheck" in service]


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Generator[Pod]:
    """Everything that `docker compose up` starts on the small machine, healthy; its secrets by the service for that."""
    home = tmp_path_factory.mktemp("pod")
    for directory in ("files", "mirror", "secrets"):
        (home / directory).mkdir()
    for name, content in FILES.items():
        (home / "files" / name).write_bytes(content)
    for name, content in zip(("main.ndb", "daily.hdb"), eicar_database().values(), strict=True):
        (home / "mirror" / name).write_bytes(content)
    freshclam = home / "freshclam.conf"
    freshclam.write_text((ROOT / "infra" / "deploy" / "freshclam.conf").read_text() + MIRROR)
    with Pod(
        model(BASE, SMALL),
        home,
        home / "secrets",
        configs={"freshclam.conf": freshclam},
        mounts={"freshclam": {"/mirror": home / "mirror"}, "tidegate": {"/files": home / "files"}},
    ) as pod:
        made = pod.run("secrets")
        assert made.returncode == 0, made.stderr
        # A health check that can't fail says nothing.
        assert [name for name in watched(pod.model) if pod.healthy(name)] == []
        pod.up()
        for name in watched(pod.model):
            pod.wait_healthy(name)
        yield pod


def test_every_command_ran_in_its_order(pod: Pod) -> None:
    """Each service started once what it depends on was as it must be, and what should run does."""
    assert set(pod.started) == {name for name, service in services(pod.model) if "profiles" not in service}
    for name in pod.started:
        needs = pod.model["services"][name].get("depends_on", {})
        assert all(pod.started.index(need) < pod.started.index(name) for need in needs), pod.started
        assert (pod.running[name].process.poll() is None) != once(pod.model["services"][name]), name


def test_operators_find_it_in_order(pod: Pod) -> None:
    """`docker compose run --rm tidegate`: everything is up, and nothing says that it scans with more than it has."""
    answer = pod.run("tidegate", "health", "--json")
    assert answer.returncode == 0, answer
    said = json.loads(answer.stdout)
    assert said["healthy"]
    assert said["test_signatures"]
    token = pod.run("tidegate", "token", "--owner", "alice")
    assert token.stdout.count(".") == 2, token


def test_files_go_all_the_way(pod: Pod) -> None:
    """Through the gateway, MinIO's notifications, clamd and sandboxed decoders to `ready`, and what clamd finds not."""
    answer = pod.run("tidegate", "upload", *(f"/files/{name}" for name in FILES), "--json")
    ended = {Path(one["file"]).name: one["state"] for one in json.loads(answer.stdout)["files"]}
    assert ended == {"good.pdf": "ready", "good.txt": "ready", "bad.txt": "quarantined"}, answer


def test_provisioning_again_changes_nothing(pod: Pod) -> None:
    """Each `docker compose up` provisions: users, policies, streams and bucket are already right."""
    again = pod.run("provision", *pod.model["services"]["provision"]["command"], "--json")
    assert again.returncode == 0, again
    assert {change["action"] for change in json.loads(again.stdout)["changes"]} == {"unchanged"}, again


def test_a_service_sees_its_own_secrets_alone(pod: Pod) -> None:
    """Files of other jobs are not in its container."""
    for name in ("worker", "gateway", "nats"):
        seen = pod.run(name, "ls", "/run/secrets").stdout.split()
        wanted = pod.model["services"][name]["secrets"]
        assert sorted(seen) == sorted(Path(one.get("target") or one["source"]).name for one in wanted)


def test_a_worker_can_make_sandboxes_and_little_else(pod: Pod) -> None:
    """Its seccomp profile lets user namespaces and mounts through and refuses the rest; only its spool is writable."""
    assert pod.run("worker", "bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "true").returncode != 0  # no /lib
    sandboxed = pod.run("worker", "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true")
    assert sandboxed.returncode == 0, sandboxed
    refused = pod.run("worker", "setarch", "--addr-no-randomize", "true")  # personality(2), as an example
    assert refused.returncode != 0
    assert "Operation not permitted" in refused.stderr
    assert pod.run("worker", "touch", "/spool/x", "/tmp/x").returncode == 0
    assert pod.run("worker", "touch", "/x").returncode != 0
    assert pod.run("worker", "touch", "/usr/x").returncode != 0


def test_a_secret_that_is_missing_says_so(pod: Pod, tmp_path: Path) -> None:
    """A container whose directory of secrets isn't there ends with the variable's name, not with a guest's rights."""
    service = pod.model["services"]["tidegate"]
    service["environment"]["TIDEGATE_SECRETS_DIR"] = "/run/elsewhere"
    try:
        answer = pod.run("tidegate", "health")
    finally:
        service["environment"]["TIDEGATE_SECRETS_DIR"] = "/run/secrets"
    assert answer.returncode == 2
    assert "TIDEGATE_SECRETS_DIR" in answer.stderr


def test_minio_waits_for_nats(pod: Pod) -> None:
    """When a machine starts, all containers do at once: MinIO's command begins once NATS listens."""
    command = pod.model["services"]["minio"]["command"]
    assert command[:3] == ["after", "nats", "4222"]
    assert pod.run("minio", *command[:3], "echo", "began").stdout == "began\n"
    early: list[str] = []
    waiting = threading.Thread(
        target=lambda: early.append(pod.run("minio", "after", "nats", "4999", "echo", "x").stdout)
    )
    waiting.start()
    waiting.join(1)
    assert waiting.is_alive()
    listener = pod.run("gateway", "python", "-c", "import socket; socket.create_server(('', 4999)).accept()")
    waiting.join(10)
    assert listener.returncode == 0, listener
    assert early == ["x\n"]


def test_everything_ends_in_its_time(pod: Pod) -> None:
    """SIGTERM ends each service, with exit code 0, before Docker would kill it; its health check notices."""
    for name in reversed([name for name in pod.started if not once(pod.model["services"][name])]):
        grace = pod.model["services"][name].get("stop_grace_period") or STOP_SECONDS
        assert pod.running[name].stop(seconds(grace)) == 0, name
    # What freshclam brought stays, whether it runs or not.
    assert [name for name in watched(pod.model) if pod.healthy(name)] == ["freshclam"]
