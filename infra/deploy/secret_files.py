"""The secrets of an installation in containers: files, each mounted where it is needed and nowhere else.

The files may be read by everybody and their directory by nobody but its owner: Compose mounts single files with the
rights that they have, and the users inside the containers are none of this machine.
"""

import json
from pathlib import Path

from infra.local import mongo, nats
from infra.local.state import Role, keep_secrets, write_private

NATS_PORT, NATS_MONITORING_PORT = 4222, 8222
NATS_STORE = Path("/data")

_JOBS: tuple[Role, ...] = ("functions", "gateway", "operator")


def write_secret_files(directory: Path) -> list[Path]:
    """Write what compose.yaml mounts; passwords are generated once and kept in `secrets.json`.

    Written again after an upgrade, the files say what the new version allows each user of NATS.

    Args:
        directory: Made if missing, for this user alone.

    Returns:
        The files that were written anew or changed.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    return [
        directory / name for name, text in _files(keep_secrets(directory)).items() if _changed(directory / name, text)
    ]


def _files(secret: dict[str, str]) -> dict[str, str]:
    files = {
        "nats.conf": nats.render(
            host="0.0.0.0",  # noqa: S104 - of its container
            port=NATS_PORT,
            monitoring_port=NATS_MONITORING_PORT,
            store=NATS_STORE,
            passwords={user: secret[f"nats_{user}"] for user in nats.permissions()},
            sync_always=True,
        ),
        "minio.env": _minio_environment(secret),
        # What making the users of MinIO and MongoDB takes, their administrators' passwords included.
        "users.json": json.dumps({name: secret[name] for name in secret if name.startswith(("minio_", "mongo_"))}),
        "signer_secret_key": secret["minio_signer"],
        "jwt_secret": secret["jwt"],
        "subscriber_nats_url": _nats_url("subscriber", secret),
    }
    for job in _JOBS:
        files |= {
            f"{job}_nats_url": _nats_url(job, secret),
            f"{job}_mongo_url": mongo.url(mongo.PORT, job, secret[f"mongo_{job}"], host="mongo"),
            f"{job}_minio_secret_key": secret[f"minio_{job}"],
        }
    return files


def _minio_environment(secret: dict[str, str]) -> str:
    """MinIO's variables that are secret; it reads them from the file that `MINIO_CONFIG_ENV_FILE` names."""
    variables = {"MINIO_ROOT_USER": secret["minio_root_name"], "MINIO_ROOT_PASSWORD": secret["minio_root"]}
    for target in ("FAST", "DURABLE"):
        variables |= {
            f"MINIO_NOTIFY_NATS_USERNAME_{target}": "minio",
            f"MINIO_NOTIFY_NATS_PASSWORD_{target}": secret["nats_minio"],
        }
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def _nats_url(user: str, secret: dict[str, str]) -> str:
    return f"nats://{user}:{secret[f'nats_{user}']}@nats:{NATS_PORT}"


def _changed(path: Path, text: str) -> bool:
    if path.exists() and path.read_text() == text:
        return False
    write_private(path, text)
    path.chmod(0o444)
    return True
