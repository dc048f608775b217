"""The events' JSON Schemas: `python -m schemas.generate` writes them, `--check` says whether they are current.

Each describes an event's `data`, and is what the envelope's `dataschema` names.
"""

import json
import sys
from pathlib import Path

from schemas.events import EVENTS, MediaEvent

PUBLISHED = Path(__file__).parent / "published"


def schema(model: type[MediaEvent]) -> str:
    """The JSON Schema (draft 2020-12) of an event's data, as it is committed."""
    uri = f"urn:tidegate:schemas:{model.type().removeprefix('tidegate.')}"
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": uri, **model.model_json_schema()}
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """What should be published: one file an event type, such as `scanned.v1.json`."""
    return {PUBLISHED / f"{model.event}.v{model.version}.json": schema(model) for model in EVENTS.values()}


def main(arguments: list[str]) -> int:
    """Write or check; 0 fine, 1 out of date."""
    wanted = files()
    if "--check" in arguments:
        stale = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        if stale:
            sys.stderr.write(f"{', '.join(stale)}: out of date, run `python -m schemas.generate`\n")
        return 1 if stale else 0
    PUBLISHED.mkdir(exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
