"""The API's description: `python -m gateway.openapi` writes it, `--check` says whether the written one is current."""

import json
import sys
from pathlib import Path

from gateway.app import assemble

PATH = Path(__file__).parent.parent / "schemas" / "generated" / "openapi.json"


def document() -> str:
    """OpenAPI 3.1 as it is committed."""
    return json.dumps(assemble().openapi(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check; 0 fine, 1 out of date."""
    if "--check" in arguments:
        current = PATH.exists() and PATH.read_text() == document()
        if not current:
            sys.stderr.write(f"{PATH.name} is out of date: run `python -m gateway.openapi`\n")
        return 0 if current else 1
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(document())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
