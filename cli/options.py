"""Options that many commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Machine-readable: JSON on standard output and nothing else.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Use the stack that runs from this directory. Default: TIDEGATE_* variables, else ./.tidegate.",
        file_okay=False,
    ),
]
