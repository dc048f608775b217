"""`tidegate run`: see `cli.worker`."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import uvloop

from cli.connect import configuration, stack
from cli.failures import USAGE, CommandFailed
from cli.worker import chosen, work
from infra import logs
from infra.local.state import StackNotRunning
from infra.settings import Settings
from schemas.model import Kind

KINDS = tuple(kind for kind in get_args(Kind) if kind != "unknown")


def run(names: Sequence[str], kinds: Sequence[str], *, ready_file: Path | None, as_json: bool) -> int:
    """Work on functions until told to stop.

    Args:
        names: Functions; none and no kinds: all.
        kinds: And every function that is for one of these kinds.
        ready_file: Made once every function is bound, removed first.
        as_json: Whether to say on standard output when ready.

    Returns:
        0 after a drain, 3 if NATS closed the connection for good.
    """
    settings = _settings()
    logs.configure(settings)
    if strange := [kind for kind in kinds if kind not in KINDS]:
        raise CommandFailed(USAGE, f"There is no kind {', '.join(strange)}: there are {', '.join(KINDS)}.")
    try:
        functions = chosen(names, settings, kinds)
    except ValueError as error:
        raise CommandFailed(USAGE, f"{error}.") from None
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)

    def ready() -> None:
        if ready_file is not None:
            ready_file.touch()
        if as_json:
            # Only here: a worker has no use for a terminal's library.
            from cli.output import emit  # noqa: PLC0415

            emit({"ready": True, "functions": [function.name for function in functions]})

    return uvloop.run(work(settings, names, kinds, on_ready=ready))


def _settings() -> Settings:
    """The environment's settings; without any, those of the stack in ./.tidegate, with the functions' credentials."""
    configured = configuration()
    if configured.model_fields_set - {"log_level", "log_format", "metrics_port"}:
        return configured
    try:
        return stack(None).settings("functions")
    except StackNotRunning:
        return configured
