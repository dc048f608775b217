"""mongod's command line, its users, and its readiness."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from infra.quotas import QUOTAS

PORT = 27017
_UNAUTHORIZED = (13, 18)  # Unauthorized, AuthenticationFailed

ROLES: Mapping[str, list[str]] = {
    "functions": ["readWrite"],
    "gateway": ["read", "quotas"],
    "operator": ["readWrite", "dbAdmin"],
}
OWN_ROLES: Mapping[str, tuple[str, list[str]]] = {"quotas": (QUOTAS, ["find", "insert", "update"])}
"""Roles that MongoDB doesn't bring: the one collection each is about, and what it lets do."""


def command(binary: Path, *, port: int, store: Path) -> list[str | Path]:
    """A mongod on the loopback interface with authentication, and a cache small enough for a laptop.

    What is slow it would log with its values, which are strangers' words: file names, conversations, tags.
    """
    return [
        binary,
        *("--dbpath", store, "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket", "--auth", "--quiet"),
        *("--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--slowms", str(2**31 - 1)),
    ]


def url(port: int, user: str, password: str, *, host: str = "127.0.0.1") -> str:
    """Connection string of a user; every user is defined in `admin`."""
    return f"mongodb://{user}:{password}@{host}:{port}/?authSource=admin&directConnection=true"


async def listening(port: int) -> bool:
    """Whether mongod accepts connections."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True


async def provision_users(port: int, passwords: Mapping[str, str], database: str) -> None:
    """Make the users and their own roles, or give them these passwords and roles.

    The first user of a fresh mongod is made through the localhost exception, which ends with it: so this runs on
    mongod's own machine, or in its network namespace.

    Args:
        port: Where mongod listens on the loopback interface.
        passwords: Passwords of `root` and of every user in `ROLES`.
        database: The one database that the users' roles are about.
    """
    if not await _login(port, passwords["root"]):
        async with _client(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
            await client.admin.command("createUser", "root", pwd=passwords["root"], roles=["root"])
    async with _client(url(port, "root", passwords["root"])) as client:
        own = client[database]
        made = {role["role"] for role in (await own.command("rolesInfo"))["roles"]}
        for role, (collection, actions) in OWN_ROLES.items():
            privilege = {"resource": {"db": database, "collection": collection}, "actions": actions}
            await own.command(
                "updateRole" if role in made else "createRole", role, privileges=[privilege], roles=list[str]()
            )
        known = {user["user"] for user in (await client.admin.command("usersInfo"))["users"]}
        for user, names in ROLES.items():
            verb = "updateUser" if user in known else "createUser"
            roles = [{"role": name, "db": database} for name in names]
            await client.admin.command(verb, user, pwd=passwords[user], roles=roles)


async def _login(port: int, password: str) -> bool:
    async with _client(url(port, "root", password)) as client:
        try:
            await client.admin.command("ping")
        except OperationFailure as refusal:
            if refusal.code in _UNAUTHORIZED:
                return False
            raise
    return True


def _client(where: str) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(where, serverSelectionTimeoutMS=10_000)
