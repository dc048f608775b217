"""The description of what is said on NATS: current, valid, and true of real events."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7, DRAFT202012

from cli import asyncapi
from events.registry import Registry as Functions
from events.registry import function
from schemas.document import event_name
from schemas.events import MediaEvent, Ready
from schemas.media import Identity

HERE = Path(__file__).parent
RECORDED: dict[str, list[dict[str, Any]]] = json.loads((HERE / "recorded.json").read_text())
EVENTS = {event_name(event): event for each in RECORDED.values() for event in each}
# The AsyncAPI Initiative's own, Apache-2.0, from its package @asyncapi/specs.
OFFICIAL = HERE / "asyncapi-3.0.0.schema.json"


def test_the_description_is_current() -> None:
    """schemas/generated/asyncapi.json is what the registry and the models say; `make generate` writes it."""
    assert asyncapi.PATH.read_text() == asyncapi.document()


def test_it_is_valid_asyncapi() -> None:
    """The official JSON Schema of AsyncAPI 3.0.0 accepts it, and refuses it with a word wrong."""
    official: Any = Draft7Validator(json.loads(OFFICIAL.read_text()))
    described = json.loads(asyncapi.document())
    assert [f"{error.json_path}: {error.message}" for error in official.iter_errors(described)] == []
    described["operations"]["scan.takes"]["action"] = "wish"
    assert not official.is_valid(described)


def test_every_function_is_in_it() -> None:
    """What each function takes and emits, its refusals and failures included."""
    operations = json.loads(asyncapi.document())["operations"]
    names = {
        operation: [message["$ref"].rpartition("/")[2] for message in found.get("messages", [])]
        for operation, found in operations.items()
    }
    assert names["scan.takes"] == ["identified"]
    assert names["scan.emits"] == ["scanned", "rejected", "quarantined", "failed"]
    assert names["receive.takes"] == names["sweep.announces"] == ["notification"]
    assert set(names["record.takes"]) > {"requested", "ready", "deleted"}
    assert "record.emits" not in names


def test_a_stranger_s_event_is_written_out() -> None:
    """What is published nowhere else is described whole: valid AsyncAPI, and it tells a fitting payload from others."""
    functions = Functions()

    class Graded(MediaEvent):
        """A file got a mark."""

        identity: Identity
        mark: int

    @function(on=Ready, into=functions)
    async def grade(_event: Ready, _context: object) -> Graded: ...

    described = asyncapi.describe(list(functions))
    official: Any = Draft7Validator(json.loads(OFFICIAL.read_text()))
    assert [f"{error.json_path}: {error.message}" for error in official.iter_errors(described)] == []
    emits = described["operations"]["grade.emits"]["messages"]
    assert {"$ref": "#/channels/media/messages/graded"} in emits
    ready = EVENTS["ready"]
    data: dict[str, Any] = ready["data"] | {"mark": 1}
    graded = ready | {"type": "tidegate.media.graded.v1", "data": data}
    payload = _payload("graded", described)
    assert [error.message for error in payload.iter_errors(graded)] == []
    assert not payload.is_valid(graded | {"data": ready["data"] | {"mark": "A+"}})
    assert not payload.is_valid(graded | {"data": data | {"identity": {"kind": "book"}}})


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_it_is_true_of_real_events(event: dict[str, Any]) -> None:
    """Each recorded event fits its message's payload, through every reference; without its data it doesn't."""
    payload = _payload(event_name(event), json.loads(asyncapi.PATH.read_text()))
    assert [error.message for error in payload.iter_errors(event)] == []
    assert not payload.is_valid(event | {"data": {}})


def _payload(name: str, document: dict[str, Any]) -> Any:
    """The validator of one message's payload, with files as the references name them."""
    base = "file:///schemas/generated/asyncapi.json"
    described = Resource(document, DRAFT7)
    published = {
        urljoin(base, f"../published/{path.name}"): Resource(json.loads(path.read_text()), DRAFT202012)
        for path in (asyncapi.PATH.parents[1] / "published").glob("*.json")
    }
    registry: Registry[Any] = Registry[Any]().with_resources([(base, described), *published.items()])
    pointer = f"{base}#/components/messages/{name}/payload"
    return Draft202012Validator({"$ref": pointer}, registry=registry)
