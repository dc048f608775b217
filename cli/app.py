"""The command line, put together."""

import json
import sys
from typing import cast

import typer

from cli import asking, mending, serving
from cli.failures import DOWN, PROBLEM, USAGE, explain
from cli.printable import printable_lines

EPILOG = "Exit codes: 0 fine, 1 a problem was found, 2 usage, 3 a dependency is down."

CODES = {PROBLEM: "problem", USAGE: "usage", DOWN: "dependency_down", 130: "interrupted"}
"""Exit codes as words, for an error's JSON."""

app = typer.Typer(
    name="tidegate",
    help="Let files in through a gate: presigned uploads, small functions, events for everything.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
serving.register(app)
asking.register(app)
mending.register(app)


def run() -> int:
    """Run the command that the arguments name.

    With --json an error is also said on standard output, as {"error": {"code", "message"}}.

    Returns:
        The exit code, where the command did not exit by itself.
    """
    as_json = "--json" in sys.argv[1:]
    try:
        # Standalone, it shows a usage error and exits before anybody else can say it.
        code: int | None = app(standalone_mode=not as_json)
    except Exception as error:
        show = getattr(error, "show", None)
        if callable(show):
            show()
            found = USAGE, cast("typer.BadParameter", error).format_message()
        else:
            explained = explain(error)
            if explained is None:
                raise
            found = explained
            sys.stderr.write(f"{printable_lines(found[1])}\n")
        if as_json:
            said = {"code": CODES.get(found[0], "problem"), "message": found[1]}
            sys.stdout.write(json.dumps({"error": said}) + "\n")
        return found[0]
    return code or 0
