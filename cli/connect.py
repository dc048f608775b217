"""Which installation a command talks to, and as whom."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from cli.failures import DOWN, USAGE, CommandFailed
from cli.output import note
from events.bus import Bus, Stored
from events.nats import NatsBus
from infra import logs
from infra.local.state import StackInfo, StackNotRunning, load_stack
from infra.objects import Objects
from infra.settings import Settings

DATA = Path(".tidegate")
CONNECT_SECONDS = 3.0


def stack(data: Path | None) -> StackInfo:
    """The stack that runs from this directory, or from ./.tidegate.

    Raises:
        StackNotRunning: None does.
    """
    return load_stack((data or DATA).absolute())


def settings(data: Path | None = None) -> Settings:
    """An operator's settings: those of the stack in `data`, else `TIDEGATE_*`, else those of the stack in ./.tidegate.

    Raises:
        CommandFailed: There is neither; or a variable has a value that can't be.
    """
    found = _settings(data)
    logs.configure(found)
    return found


def _settings(data: Path | None) -> Settings:
    if data is not None:
        return stack(data).settings("operator")
    configured = configuration()
    if configured.model_fields_set - {"log_level", "log_format"}:
        return configured
    try:
        running = stack(None)
    except StackNotRunning as error:
        raise CommandFailed(
            DOWN,
            f"No installation is named by TIDEGATE_* variables, and {error}. "
            "For another machine's, set the variables that `tidegate env` prints there.",
        ) from None
    note(f"Using the stack of {DATA}, as its operator.")
    return running.settings("operator", log_level=configured.log_level, log_format=configured.log_format)


def configuration() -> Settings:
    """What `TIDEGATE_*` says, or the defaults.

    Raises:
        CommandFailed: A variable has a value that can't be.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"TIDEGATE_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"].removeprefix("Value error, ")
            for problem in error.errors(include_input=False)
        )
        raise CommandFailed(USAGE, f"The settings can't be used: {problems}.") from None


@asynccontextmanager
async def connected(found: Settings, name: str) -> AsyncGenerator[NatsBus]:
    """A connection to NATS for the length of a command.

    Raises:
        BusDown: No server answers.
        BusClosed: The credentials were refused.
    """
    bus = await NatsBus.connect(found.nats_url, name=f"tidegate {name}", timeout=CONNECT_SECONDS)
    try:
        yield bus
    finally:
        await bus.aclose()


def objects_of(found: Settings) -> Objects:
    """The objects, for an `async with`.

    Raises:
        CommandFailed: There are no credentials for them.
    """
    if not found.minio_access_key or not found.minio_secret_key.get_secret_value():
        raise CommandFailed(USAGE, "TIDEGATE_MINIO_ACCESS_KEY and TIDEGATE_MINIO_SECRET_KEY must be set.")
    return Objects.from_settings(found)


def following(
    bus: Bus, stream: str, subjects: Sequence[str], start: int
) -> AbstractAsyncContextManager[AsyncGenerator[Stored]]:
    """Messages of a stream from a sequence on, as they come; leaving the block ends the reading at once."""
    # An AsyncIterator by contract; every bus makes it with a generator.
    return aclosing(cast("AsyncGenerator[Stored]", bus.read(stream, subjects, start=start, follow=True)))
