"""`tidegate secrets`, `tidegate env` and `tidegate token`: how to get in."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast, get_args

from cli.connect import settings, stack
from cli.failures import USAGE, CommandFailed
from cli.output import emit, note
from infra.deploy.secret_files import write_secret_files
from infra.local.state import Role
from infra.tokens import SCOPES, Scope, issue
from schemas.model import LANES, Lane


def env(data: Path | None, *, role: str, as_json: bool) -> None:
    """Print a running stack's variables for one role, as a shell reads them."""
    variables = stack(data).environment(cast("Role", _one_of("role", role, get_args(Role))))
    if as_json:
        emit(variables)
        return
    for name, value in variables.items():
        _plainly(f"export {name}={shlex.quote(value)}")


def secrets(directory: Path, *, as_json: bool) -> None:
    """Write the files that compose.yaml mounts, and name those that are new."""
    written = [path.name for path in write_secret_files(directory)]
    if as_json:
        emit({"directory": str(directory), "written": written})
    else:
        note(f"Written to {directory}: {', '.join(written)}." if written else f"Nothing to change in {directory}.")


def token(
    data: Path | None,
    *,
    owner: str,
    scopes: Sequence[str] | None,
    lanes: Sequence[str] | None,
    audiences: Sequence[str],
    seconds: float,
    as_json: bool,
) -> None:
    """Print a token that the gateway believes."""
    for scope in scopes or ():
        _one_of("scope", scope, SCOPES)
    for lane in lanes or ():
        _one_of("lane", lane, LANES)
    issued = issued_for(
        settings(data).jwt_secret.get_secret_value(),
        owner=owner,
        scopes=cast("Sequence[Scope]", scopes or ("upload", "read")),
        lanes=cast("Sequence[Lane]", lanes or ("standard",)),
        audiences=audiences,
        seconds=seconds,
    )
    if as_json:
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        emit({"token": issued, "owner": owner, "expires_at": expires.isoformat(timespec="seconds")})
    else:
        _plainly(issued)


def issued_for(secret: str, **claims: Any) -> str:
    """A token, or a sentence about why it can't be made.

    Raises:
        CommandFailed: The secret is missing or too short, or a claim isn't acceptable.
    """
    if not secret:
        raise CommandFailed(
            USAGE, "TIDEGATE_JWT_SECRET is not set: tokens are signed with the secret that the gateway verifies with."
        )
    try:
        return issue(secret, **claims)
    except ValueError as error:
        raise CommandFailed(USAGE, f"No token can be made: {error}.") from None


def _one_of(what: str, given: str, known: Sequence[str]) -> str:
    if given not in known:
        raise CommandFailed(USAGE, f"There is no {what} {given!r}: there are {', '.join(known)}.")
    return given


def _plainly(line: str) -> None:
    # Not through a console: a shell reads it, and nothing may be wrapped.
    print(line)  # noqa: T201
