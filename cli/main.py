"""`tidegate`: the operators' door."""

import json
import sys
from importlib import import_module
from typing import NoReturn

from cli.packages import shadowed

USAGE = 2


def main() -> NoReturn:
    """Run the command line and exit: 0 fine, 1 a problem was found, 2 usage, 3 a dependency is down."""
    if problems := shadowed():
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        if "--json" in sys.argv[1:]:
            sys.stdout.write(json.dumps({"error": {"code": "usage", "message": " ".join(problems)}}) + "\n")
        sys.exit(USAGE)
    # Only now: whatever is imported before the check could be somebody else's.
    sys.exit(import_module("cli.app").run())
