"""Every event: its schema is published and current, only grows, and whatever it says fits into 64 KiB."""

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from cli.application import subject
from events.envelope import MAX_BYTES, Envelope, follow, schema_uri
from gateway.uploads import LARGEST_REQUESTED
from schemas.events import BY_TYPE, EVENTS, MediaEvent
from schemas.generate import PUBLISHED, files, main
from schemas.subjects import Subject
from tests.schemas.recording import GOLDEN

Schema = dict[str, Any]

EVERY = pytest.mark.parametrize("model", EVENTS.values(), ids=EVENTS)

UUID = "01a204b3-bd5e-70fe-a755-e77b96e2ca69"
# The longest string of each pattern, in bytes of JSON.
LONGEST = {
    r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": UUID,
    r"^[0-9a-f]{64}$": "f" * 64,
    r"^[A-Za-z0-9_-]{1,128}$": "x" * 128,
    r"^[A-Za-z0-9_-]{1,64}$": "x" * 64,
    r"^[a-z0-9_]{1,64}$": "x" * 64,
    r"^[a-z0-9]{1,8}$": "x" * 8,
    r"^[1-9]\.[0-9]$": "1.7",
    r"^[\x21-\x7e ]+$": '"' * 255,
    r"^[ -~]{1,64}$": '"' * 64,
    r"^[A-Za-z0-9;]{1,8}$": "x" * 8,
    r"^[a-z0-9_-]{1,20}$": "x" * 20,
    r"^[A-Za-z0-9 .:+()/@-]{1,24}$": "x" * 24,
    r"^[A-Za-z0-9-]{1,12}$": "x" * 12,
    r"^[1-9][0-9]{0,9}/[1-9][0-9]{0,9}$": "9999999999/9999999999",
    r"^[0-9a-f]{32}$": "f" * 32,
    r"^[0-9a-f]{16}$": "f" * 16,
    r"^[a-z]{1,16}/[a-z0-9.+-]{1,48}$": f"{'x' * 16}/{'x' * 48}",
    r"^#[0-9a-f]{6}$": "#ffffff",
    r"^[A-Za-z0-9+/]{4,60}={0,2}$": "x" * 60 + "==",
    r"^[a-z0-9][a-z0-9_-]{0,31}(/[a-z0-9][a-z0-9_-]{0,31})?\.[a-z0-9]{1,8}$": f"{'x' * 32}/{'x' * 32}.{'x' * 8}",
    r"^[1-9][0-9]{1,3}p$": "2160p",
    r"^[a-z]{4,9}$": "ultrafast",
    r"^(sound|[0-9]{1,4})$": "sound",
}


def golden(model: type[MediaEvent]) -> Schema:
    """The recorded envelope of an event type."""
    return json.loads((GOLDEN / f"{model.event}.v{model.version}.json").read_text())


def test_published_schemas_are_current() -> None:
    """`python -m schemas.generate` would change nothing, and nothing else is published."""
    assert main(["--check"]) == 0
    assert set(PUBLISHED.iterdir()) == set(files())


@EVERY
def test_schema_is_named_as_envelopes_name_it(model: type[MediaEvent]) -> None:
    """The published `$id` is the `dataschema` of every envelope, and the schema is a valid one."""
    published = json.loads((PUBLISHED / f"{model.event}.v{model.version}.json").read_text())
    assert published["$id"] == schema_uri(model.type()) == golden(model)["dataschema"]
    Draft202012Validator.check_schema(published)


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.stem)
def test_every_event_ever_released_parses(path: Any) -> None:
    """A golden envelope is read, means the same, and is written again as it was."""
    recorded = json.loads(path.read_text())
    envelope = Envelope.decode(json.dumps(recorded).encode())
    model = BY_TYPE[envelope.type]
    event = model.model_validate(envelope.data)
    assert path.stem == f"{model.event}.v{model.version}"
    assert str(subject(event, envelope)).split(".")[1] == model.event
    again = json.loads(envelope.model_copy(update={"data": event}).encode())
    assert _subset(recorded, again) == []


@EVERY
def test_golden_event_fits_the_published_schema(model: type[MediaEvent]) -> None:
    """Whoever validates with the published schema accepts the recorded event, and one with fields of the future."""
    published: Any = Draft202012Validator(json.loads((PUBLISHED / f"{model.event}.v{model.version}.json").read_text()))
    data = golden(model)["data"]
    published.validate(data)
    published.validate({**data, "future": 1, "media": {**data["media"], "future": {}}})


@EVERY
def test_schema_only_grows(model: type[MediaEvent]) -> None:
    """Nothing is required that a released event lacks, and nothing that it said is unknown now."""
    schema, data = model.model_json_schema(), golden(model)["data"]
    assert _lacking(schema, schema, data, model.event) == []


@EVERY
def test_unknown_fields_are_ignored(model: type[MediaEvent]) -> None:
    """An event of a newer minor version, with more fields anywhere in it, is read."""
    data = golden(model)["data"]
    assert model.model_validate(_grown(data)) == model.model_validate(data)


@EVERY
def test_largest_event_fits(model: type[MediaEvent]) -> None:
    """With every field at its maximum, an event is within 64 KiB; there is no field without a maximum."""
    schema = model.model_json_schema()
    data = _largest(schema, schema)
    data["media"] = _largest_media(data["media"])
    event = model.model_validate(data)
    cause = Envelope.model_validate({**golden(model), "replayname": "x" * 128, "run": UUID})
    payload = follow(event, cause=cause, function="x" * 64, version="x" * 64).encode()
    assert len(payload) <= MAX_BYTES


@EVERY
def test_subject_tells_what_and_whom(model: type[MediaEvent]) -> None:
    """An event's subject is seven tokens that can be read back."""
    recorded = golden(model)
    event, envelope = model.model_validate(recorded["data"]), Envelope.model_validate(recorded)
    parsed = Subject.parse(subject(event, envelope))
    assert (parsed.event, parsed.media_id, parsed.run) == (model.event, recorded["subject"], recorded["run"])


def _largest_media(media: Schema) -> Schema:
    """The largest that the gateway takes: `requested` of at most 40 KiB."""
    audience: list[str] = []
    while len(json.dumps(media | {"audience": audience}, ensure_ascii=False).encode()) < LARGEST_REQUESTED - 1500:
        audience.append("\U0001f30a" * 255)
    return media | {"audience": audience}


def _largest(node: Schema, root: Schema) -> Any:
    """The largest value that a JSON Schema allows; a node without a bound is a failure."""
    if "$ref" in node:
        return _largest(root["$defs"][node["$ref"].rpartition("/")[2]], root)
    if options := node.get("anyOf") or node.get("oneOf"):
        values = [_largest(option, root) for option in options]
        return max(values, key=lambda value: len(json.dumps(value, default=str)))
    if "const" in node or "enum" in node:
        return node.get("const") or max(node["enum"], key=lambda value: len(str(value)))
    match node.get("type"):
        case "object" if "properties" in node:
            return {name: _largest(field, root) for name, field in node["properties"].items()}
        case "array":
            return [_largest(node["items"], root)] * node["maxItems"]
        case "string":
            return _longest(node)
        case "integer":
            return node.get("maximum", 2**63 - 1)
        case "number":
            return node["maximum"] - 1 / 3
        case "object":
            return {"context": "x" * 8000}
        case kind:
            return {"boolean": False, "null": None}[str(kind)]


def _longest(node: Schema) -> str:
    if node.get("format") == "date-time":
        return datetime.max.replace(tzinfo=UTC).isoformat()
    if "pattern" in node:
        return LONGEST[node["pattern"]]
    # A control character is six bytes in JSON, as many as any.
    return "\x01" * node["maxLength"]


def _grown(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("Schema", value)
        return {name: field if name == "context" else _grown(field) for name, field in fields.items()} | {"future": [1]}
    return value


def _lacking(node: Schema, root: Schema, value: Any, where: str) -> list[str]:
    """What a schema requires and a value lacks, or a value says and a schema doesn't know."""
    if "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    if options := node.get("anyOf") or node.get("oneOf"):
        return min((_lacking(option, root, value, where) for option in options), key=len)
    if not isinstance(value, dict) or "properties" not in node:
        return []
    fields = cast("Schema", value)
    found = [f"{where}.{name} is required now" for name in set(node.get("required", [])) - set(fields)]
    found += [f"{where}.{name} is unknown now" for name in set(fields) - set(node["properties"])]
    for name in set(fields) & set(node["properties"]):
        found += _lacking(node["properties"][name], root, fields[name], f"{where}.{name}")
    return found


def _subset(small: Any, large: Any, where: str = "") -> list[str]:
    """What is in one JSON value and not, or differently, in the other."""
    if isinstance(small, dict) and isinstance(large, dict):
        left, right = cast("Schema", small), cast("Schema", large)
        return [line for name in left for line in _subset(left[name], right.get(name), f"{where}.{name}")]
    return [] if small == large else [f"{where}: {small!r} became {large!r}"]
