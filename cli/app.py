"""The command line, put together."""

import sys

import typer

from cli import asking, mending, serving
from cli.failures import explain

EPILOG = "Exit codes: 0 fine, 1 a problem was found, 2 usage, 3 a dependency is down."

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

    Returns:
        The exit code, where the command did not exit by itself.
    """
    try:
        app()
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        code, sentence = explained
        sys.stderr.write(f"{sentence}\n")
        return code
    return 0
