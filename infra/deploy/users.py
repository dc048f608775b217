"""The users of MinIO and MongoDB, made by their administrators: at first, and whenever a password changed."""

import asyncio
from collections.abc import Mapping

from pydantic import SecretStr
from pymongo.uri_parser import parse_uri

from infra.access import policies, provision_access
from infra.local import mongo
from infra.settings import Settings


async def provision_users(settings: Settings, secrets: Mapping[str, str]) -> list[str]:
    """Give every job its user, as `infra.access.policies` and `infra.local.mongo.ROLES` have it.

    Args:
        settings: Where MinIO is, and on which port MongoDB listens on the loopback interface: its first user can be
            made from its own machine or network namespace only.
        secrets: The content of `users.json`; see `infra.deploy.secret_files`.

    Returns:
        One line for each policy or user of MinIO that was made or changed.

    Raises:
        minio.error.MinioAdminException: MinIO refused.
        pymongo.errors.PyMongoError: MongoDB refused, or did not answer.
    """
    root = {
        "minio_access_key": secrets["minio_root_name"],
        "minio_secret_key": SecretStr(secrets["minio_root"]),
    }
    jobs = {job: (job, secrets[f"minio_{job}"]) for job in policies(settings.bucket)}
    done = await asyncio.to_thread(provision_access, settings.model_copy(update=root), jobs)
    passwords = {user: secrets[f"mongo_{user}"] for user in ("root", *mongo.ROLES)}
    _, port = parse_uri(settings.mongo_url)["nodelist"][0]
    await mongo.provision_users(port or mongo.PORT, passwords, settings.mongo_database)
    return done
