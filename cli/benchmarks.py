"""`tidegate bench`: what the numbers in the README come from."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from cli.failures import USAGE, CommandFailed

BENCHMARKS = ("documents", "hostile", "images", "probe", "queued", "record", "scan", "similar", "video")
USAGE_LINE = f"Usage: tidegate bench {{{','.join(BENCHMARKS)}}} [ARGS]...; `tidegate bench documents --help` says more."


def bench(what: str, arguments: Sequence[str]) -> int:
    """Run a benchmark with its own arguments.

    Raises:
        CommandFailed: There is none of that name.
    """
    if what in {"-h", "--help"}:
        print(USAGE_LINE)  # noqa: T201  the answer
        return 0
    if what not in BENCHMARKS or find_spec(f"bench.{what}") is None:
        raise CommandFailed(USAGE, f"There is no benchmark {what!r}: there are {', '.join(BENCHMARKS)}.")
    code = import_module(f"bench.{what}").main(list(arguments))
    return int(code or 0)
