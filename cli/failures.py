"""What can be expected to go wrong, as an exit code and a sentence that says what to do."""

import asyncio
from typing import Any, cast

PROBLEM, USAGE, DOWN = 1, 2, 3


class CommandFailed(Exception):
    """A command can't go on; the message is the sentence the person reads.

    Attributes:
        code: The exit code: 1 a problem was found, 2 usage, 3 a dependency is down.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def explain(error: BaseException) -> tuple[int, str] | None:
    """Exit code and sentence of an expected failure; None: it is a defect and deserves its traceback.

    An exception is recognised by the modules that are loaded already: what was never imported can't have been raised.
    """
    if isinstance(error, CommandFailed):
        return error.code, str(error)
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[Any]", error)
        return next((found for each in group.exceptions if (found := explain(each))), None)
    for kind in type(error).__mro__:
        found = _EXPECTED.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            code, remedy = found
            said = str(error).strip().rstrip(".:") or type(error).__name__
            return code, f"{said}{remedy}."
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return 130, "Interrupted."
    return None


_STACK = ": is the stack running (`tidegate up`), and does TIDEGATE_{} name it"
_EXPECTED: dict[str, tuple[int, str]] = {
    "events.bus.BusDown": (DOWN, _STACK.format("NATS_URL")),
    "events.bus.BusClosed": (DOWN, ": check user and password in TIDEGATE_NATS_URL"),
    "events.bus.StreamMissing": (DOWN, ": make the streams with `tidegate provision`"),
    "infra.errors.DependencyDown": (DOWN, ": `tidegate health` says what else is down; start it and try again"),
    "infra.errors.StoreRefused": (DOWN, ": check TIDEGATE_MINIO_ACCESS_KEY and its rights"),
    "infra.decoder.errors.DecoderUnavailable": (DOWN, ""),
    "infra.local.binaries.BinaryMissing": (DOWN, ""),
    "infra.local.process.ProcessFailed": (DOWN, ""),
    "infra.local.state.StackNotRunning": (DOWN, ""),
    "infra.local.state.StackRunning": (DOWN, ""),
    "infra.local.signatures.SignaturesUnusable": (USAGE, ""),
    "events.registry.FunctionsUnusable": (USAGE, ": mend or uninstall what brings them"),
    "infra.bucket.NotificationTargetsMissing": (DOWN, ""),
    "minio.error.S3Error": (DOWN, ": check TIDEGATE_MINIO_ACCESS_KEY and its rights"),
    "urllib3.exceptions.HTTPError": (DOWN, _STACK.format("MINIO_URL")),
    "aiohttp.client_exceptions.ClientConnectionError": (DOWN, _STACK.format("GATEWAY_URL")),
    "pymongo.errors.OperationFailure": (DOWN, ": check user and password in TIDEGATE_MONGO_URL"),
    "pymongo.errors.PyMongoError": (DOWN, _STACK.format("MONGO_URL")),
    "pydantic_core._pydantic_core.ValidationError": (USAGE, ""),
}
