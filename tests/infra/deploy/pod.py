"""What Compose does, without Docker: the services of compose.yaml as processes that see what their containers would.

Each runs under bubblewrap as its own user without a capability, with a read-only root, its volumes, configs and secrets
at the paths that compose.yaml says, its environment and no other, under its seccomp profile. All share one network
namespace in which every service's name is the loopback address, so commands and health checks run word for word as
they stand. Not as in a container: the programs are this machine's, nothing limits memory or processors, and all
networks are one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.local.binaries import Binaries, find_binaries
from tests.infra.deploy.compose import ROOT, Model, once, seconds
from tests.infra.deploy.seccomp import compiled

UID = "10001"
PATIENCE = 120.0
_TOOLS = {"answers": "answers.sh", "after": "after.sh"}


@dataclass
class Running:
    """A service's process: bubblewrap's, and the service's own inside."""

    process: subprocess.Popen[bytes]
    pid: int
    log: Path

    def stop(self, patience: float) -> int:
        """SIGTERM, and its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(patience)


@dataclass
class Pod:
    """The services of a model; a context manager that leaves nothing running.

    Attributes:
        model: What Compose would start.
        home: Where volumes, logs and the machine's own files are made.
        secrets: Directory of the secret files.
        configs: Configs with another file than the model says.
        mounts: More that services see: host path by path inside, by service.
    """

    model: Model
    home: Path
    secrets: Path
    configs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    mounts: Mapping[str, Mapping[str, Path]] = field(default_factory=dict[str, Mapping[str, Path]])
    running: dict[str, Running] = field(default_factory=dict[str, Running])
    started: list[str] = field(default_factory=list[str])

    def __enter__(self) -> Self:
        self._programs = self._link_programs(find_binaries())
        self._hosts = self.home / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost {' '.join(self.model['services'])}\n")
        self._namespace = self._spawn(
            "network",
            [
                *("bwrap", "--unshare-user", "--unshare-net", "--uid", "0", "--gid", "0"),
                *("--ro-bind", "/", "/", "--die-with-parent"),
            ],
            ["bash", "-c", "echo && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        # Until it speaks nobody has an identity in its user namespace, and who joins it may do nothing.
        assert self._namespace.process.stdout is not None
        with self._namespace.process.stdout as said:
            said.readline()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (*self.running.values(), self._namespace):
            one.process.kill()
            one.process.wait()

    def up(self) -> None:
        """Start every service that has no profile, each when what it depends on is as it must be."""
        waiting = {name for name, service in self.model["services"].items() if "profiles" not in service}
        deadline = time.monotonic() + PATIENCE
        while waiting:
            assert time.monotonic() < deadline, f"{sorted(waiting)} still wait{self.logs()}"
            for name in sorted(waiting):
                if all(self._met(*need) for need in self._service(name).get("depends_on", {}).items()):
                    self.start(name)
                    waiting.remove(name)
            time.sleep(0.1)

    def start(self, name: str) -> None:
        """Start a service's command."""
        self.running[name] = self._inside(name, self._command(name))
        self.started.append(name)

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm`: a service's command, or other arguments for its entrypoint."""
        command = self._command(name, *arguments)
        one = self._inside(name, command, stdout=subprocess.PIPE)
        try:
            out, _ = one.process.communicate(timeout=PATIENCE)
        finally:
            one.process.kill()
            one.process.wait()
        return subprocess.CompletedProcess(command, one.process.returncode, out.decode(), one.log.read_text())

    def healthy(self, name: str) -> bool:
        """Run a service's health check as its container would."""
        check = self._service(name)["healthcheck"]
        assert check["test"][0] == "CMD"
        one = self._inside(name, check["test"][1:], log="check")
        try:
            return one.process.wait(seconds(check["timeout"])) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            one.process.kill()
            one.process.wait()

    def wait_healthy(self, name: str) -> None:
        """Return once a service's health check passes."""
        deadline = time.monotonic() + PATIENCE
        while not self.healthy(name):
            assert time.monotonic() < deadline, f"{name} is not healthy{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        """What everybody said last."""
        return "".join(f"\n--- {path.name}\n{path.read_text()[-1500:]}" for path in sorted(self.home.glob("*.log")))

    def _service(self, name: str) -> Model:
        return self.model["services"][name]

    def _command(self, name: str, *arguments: str) -> list[str]:
        service = self._service(name)
        return [*(service["entrypoint"] or []), *(arguments or service["command"])]

    def _met(self, name: str, need: Mapping[str, Any]) -> bool:
        one = self.running.get(name)
        if one is None:
            return False
        ended = one.process.poll()
        if need["condition"] == "service_completed_successfully":
            assert once(self._service(name))
            assert ended in (None, 0), f"{name} ended with {ended}{self.logs()}"
            return ended == 0
        assert need["condition"] == "service_healthy"
        assert ended is None, f"{name} ended with {ended}{self.logs()}"
        return self.healthy(name)

    def _inside(self, name: str, command: Sequence[str], *, log: str = "", stdout: int | None = None) -> Running:
        """Run a command in what would be this service's container."""
        service = self._service(name)
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        user = service.get("user", UID).partition(":")[0]
        walls = [
            *("nsenter", "--target", str(self._namespace.pid), "--user", "--net", "--preserve-credentials", "bwrap"),
            *("--unshare-user", "--unshare-ipc", "--unshare-uts", "--hostname", name, "--uid", user, "--gid", user),
            *("--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv"),
            *self._root(service),
            *self._mounted(name, service),
            *("--remount-ro", "/", "--chdir", "/"),
        ]
        environment = {"PATH": self._path(), "HOME": "/nonexistent", **service.get("environment", {})}
        for variable, value in environment.items():
            walls += ["--setenv", variable, str(value)]
        return self._spawn(f"{name}.{log}" if log else name, walls, command, service, stdout)

    def _root(self, service: Model) -> list[str]:
        """This machine's root directory, without what a container has of its own."""
        own = {Path(target).parts[1] for target in _targets(service)} | {"proc", "dev", "run", "tmp"}
        binds: list[str] = []
        for path in sorted(Path("/").iterdir()):
            if path.name not in own:
                binds += ["--symlink", str(path.readlink()), str(path)] if path.is_symlink() else _bound(path, path)
        binds += ["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev", *_bound(self._hosts, "/etc/hosts")]
        for target in service.get("tmpfs", []):
            binds += ["--tmpfs", target]
        for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix), self._programs):
            binds += _bound(path, path)
        return binds

    def _mounted(self, name: str, service: Model) -> list[str]:
        binds: list[str] = []
        for mount in service.get("volumes", []):
            source = self.secrets if mount["type"] == "bind" else self.home / "volumes" / mount["source"]
            source.mkdir(parents=True, exist_ok=True)
            binds += ["--ro-bind" if mount.get("read_only") else "--bind", str(source), mount["target"]]
        for config in service.get("configs", []):
            file = self.configs.get(config["source"]) or Path(self.model["configs"][config["source"]]["file"])
            binds += _bound(file, config.get("target", f"/{config['source']}"))
        for secret in service.get("secrets", []):
            file = self.secrets / Path(self.model["secrets"][secret["source"]]["file"]).name
            binds += _bound(file, f"/run/secrets/{Path(secret.get('target', secret['source'])).name}")
        for target, source in self.mounts.get(name, {}).items():
            binds += _bound(source, target)
        return binds

    def _spawn(
        self,
        name: str,
        walls: Sequence[str],
        command: Sequence[str],
        service: Model | None = None,
        stdout: int | None = None,
    ) -> Running:
        log = self.home / f"{name}.log"
        read, write = os.pipe()
        with ExitStack() as held, os.fdopen(read) as told:
            held.callback(os.close, write)
            passed = [write]
            filters: list[str] = []
            for option in (service or {}).get("security_opt", []):
                if option.startswith("seccomp="):
                    bpf = held.enter_context(compiled(ROOT / option.removeprefix("seccomp=")))
                    passed.append(bpf.fileno())
                    filters = ["--seccomp", str(bpf.fileno())]
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [*walls, *filters, "--info-fd", str(write), "--", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output if stdout is None else stdout,
                    stderr=output,
                    pass_fds=passed,
                )
            held.close()
            said = told.read()
        assert said, f"{name} did not start:\n{log.read_text()}"
        return Running(process, json.loads(said)["child-pid"], log)

    def _link_programs(self, found: Binaries) -> Path:
        """What images have in /usr/local/bin."""
        programs = self.home / "bin"
        programs.mkdir()
        for name, path in {"minio": found.minio, "nats-server": found.nats, "mongod": found.mongod}.items():
            (programs / name).symlink_to(path)
        for name, script in _TOOLS.items():
            (programs / name).symlink_to(ROOT / "infra" / "deploy" / script)
        return programs

    def _path(self) -> str:
        return f"{sys.prefix}/bin:{self._programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin"


def _targets(service: Model) -> list[str]:
    return [mount["target"] for mount in service.get("volumes", [])] + [
        config.get("target", f"/{config['source']}") for config in service.get("configs", [])
    ]


def _bound(source: Path, target: Path | str) -> list[str]:
    return ["--ro-bind", str(source), str(target)]
