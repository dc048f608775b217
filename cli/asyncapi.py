"""What is said on NATS, as AsyncAPI 3: `python -m cli.asyncapi` writes it, `--check` says whether it is current.

`--print` shows it instead, with the functions and events of others that are installed here.

Made from the registry and the events' models (https://www.asyncapi.com/docs/reference/specification/v3.0.0). What an
event's data is, the published JSON Schemas say: it refers to them. What others add is written out.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import schemas
from cli.graph import also_emitted, in_order, name_of, takes
from cli.vocabulary import events
from events.envelope import CONTENT_TYPE, Envelope
from events.registry import Function, Tick, load
from schemas.events import EVENTS, MediaEvent
from schemas.model import LANES, Kind
from schemas.notification import Notification
from schemas.progress import Progress

PATH = Path(schemas.__file__).parent / "generated" / "asyncapi.json"
VERSION = "1"
Json = dict[str, Any]


def document() -> str:
    """AsyncAPI 3.0 as it is committed."""
    return json.dumps(describe(in_order(load())), indent=2, ensure_ascii=False) + "\n"


def describe(functions: Sequence[Function]) -> Json:
    """Channels, messages, and what each function receives and sends."""
    known = events(functions)
    operations: Json = {
        "events": {
            "action": "send",
            "channel": _ref("channels", "events"),
            "title": "What subscribers read",
            "summary": "Every event, from the JetStream stream EVENTS: with a consumer of the subscriber's own.",
        },
        "progress": {
            "action": "send",
            "channel": _ref("channels", "progress"),
            "title": "How far a function is",
            "summary": "Core NATS, at most twice a second and never stored.",
        },
    }
    operations["gateway.emits"] = _operation(
        "send", "media", ["requested", "deleted"], "Say that a client got an upload, or wants a media to be gone."
    )
    for function in functions:
        operations |= _operations(function, known)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidegate",
            "version": VERSION,
            "description": "What happens to uploaded files, as events on NATS JetStream.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "nats": {
                "host": "{host}:{port}",
                "protocol": "nats",
                "description": "An installation's NATS; `tidegate env --role subscriber` says where it is.",
                "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}},
                "security": [_ref("components", "securitySchemes", "user")],
            }
        },
        "channels": _channels(functions, known),
        "operations": operations,
        "components": {
            "messages": {
                **{name: _message(model) for name, model in known.items()},
                "notification": {
                    "title": "A bucket notification of MinIO's",
                    "contentType": "application/json",
                    "payload": {"type": "object", "required": ["Key", "Records"]},
                },
                "progress": {
                    "title": "How far a function is",
                    "contentType": "application/json",
                    "payload": _PROGRESS,
                },
            },
            "schemas": {"envelope": _envelope(), **_own_schemas(known)},
            "securitySchemes": {"user": {"type": "userPassword", "description": "A NATS user, one for each job."}},
        },
    }


_PROGRESS: Json = Progress.model_json_schema()


def _channels(functions: Iterable[Function], known: Mapping[str, type[MediaEvent]]) -> Json:
    messages = {name: _ref("components", "messages", name) for name in known}
    tokens: Json = {
        "event": {"enum": list(known), "description": "The event's name."},
        "kind": {"enum": list(get_args(Kind)), "description": "The media's kind; `unknown` until identified."},
        "lane": {"enum": list(LANES), "description": "Who waits for whom."},
        "media_id": {"description": "The media's UUIDv7."},
        "run": {"description": "`0`, or a replay's UUIDv7."},
        "part": {"description": "The function or product."},
        "function": {"enum": [each.name for each in functions], "description": "Who alone gets the event."},
        "target": {"enum": ["fast", "durable", "sweep"], "description": "Who says it: each says it once, or more."},
    }
    addresses = {
        "events": ("events.{event}.{kind}", "Every event, for subscribers: stream EVENTS.", messages),
        "media": (
            "media.{event}.{kind}.{lane}.{media_id}.{run}.{part}",
            "Every event, for functions: stream MEDIA.",
            messages,
        ),
        "invoke": (
            "invoke.{function}.{lane}.{media_id}",
            "A past event for one function alone, in a replay or a retry: stream MEDIA.",
            messages,
        ),
        "uploads": (
            "minio.{target}",
            "MinIO's bucket notifications: stream UPLOADS.",
            {"notification": _ref("components", "messages", "notification")},
        ),
        "progress": (
            "progress.{media_id}",
            "How far functions are: core NATS, never stored.",
            {"progress": _ref("components", "messages", "progress")},
        ),
    }
    return {
        name: {
            "address": address,
            "description": description,
            "messages": said,
            "parameters": {token: found for token, found in tokens.items() if f"{{{token}}}" in address},
        }
        for name, (address, description, said) in addresses.items()
    }


def _operations(function: Function, known: Mapping[str, type[MediaEvent]]) -> Json:
    """What a function receives and sends; a tick comes from its own clock and is nobody else's business."""
    does = (function.handler.__doc__ or "").strip().split("\n")[0]
    found: Json = {}
    if Notification in function.inputs:
        found[f"{function.name}.takes"] = _operation("receive", "uploads", ["notification"], does)
    elif taken := [name for name, model in known.items() if takes(function, model)]:
        found[f"{function.name}.takes"] = _operation("receive", "media", taken, does)
        if function.kinds:
            found[f"{function.name}.takes"]["description"] = f"Of these kinds: {', '.join(function.kinds)}."
    if Notification in function.outputs:
        found[f"{function.name}.announces"] = _operation("send", "uploads", ["notification"], does)
    sent = {name_of(model) for model in (*function.outputs, *also_emitted(function))}
    if emitted := [name for name in known if name in sent]:
        found[f"{function.name}.emits"] = _operation("send", "media", emitted, does)
    if Tick in function.inputs:
        for operation in found.values():
            operation["description"] = f"Every {function.every:g} s."
    return found


def _operation(action: str, channel: str, messages: Sequence[str], summary: str) -> Json:
    return {
        "action": action,
        "channel": _ref("channels", channel),
        "summary": summary,
        "messages": [_ref("channels", channel, "messages", name) for name in messages],
    }


def _message(model: type[MediaEvent]) -> Json:
    return {
        "name": model.type(),
        "title": (model.__doc__ or "").strip().split("\n")[0],
        "payload": {
            "allOf": [
                _ref("components", "schemas", "envelope"),
                {
                    "properties": {
                        "type": {"const": model.type()},
                        "data": _data(model),
                    }
                },
            ]
        },
    }


def _data(model: type[MediaEvent]) -> Json:
    if model.event in EVENTS:
        return {"$ref": f"../published/{model.event}.v{model.version}.json"}
    return _ref("components", "schemas", model.event)


def _own_schemas(known: Mapping[str, type[MediaEvent]]) -> Json:
    """The data of events that others brought, each with what it refers to."""
    found: Json = {}
    for name, model in known.items():
        if name not in EVENTS:
            schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
            found |= {f"{name}.{part}": each for part, each in schema.pop("$defs", {}).items()}
            found[name] = schema
    return found


def _envelope() -> Json:
    return {**Envelope.model_json_schema(mode="serialization"), "description": "CloudEvents 1.0, structured JSON mode."}


def _ref(*path: str) -> Json:
    return {"$ref": f"#/{'/'.join(path)}"}


def main(arguments: list[str]) -> int:
    """Write, show or check; 0 fine, 1 out of date."""
    if "--print" in arguments:
        sys.stdout.write(document())
        return 0
    if "--check" in arguments:
        current = PATH.exists() and PATH.read_text() == document()
        if not current:
            sys.stderr.write(f"{PATH.name} is out of date: run `make generate`\n")
        return 0 if current else 1
    PATH.write_text(document())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
