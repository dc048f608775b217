"""A request's query string as a model, and the model as OpenAPI's parameters."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import HTTPConnection

from gateway.problems import invalid

Asked = TypeVar("Asked", bound=BaseModel)


def asked(request: HTTPConnection, model: type[Asked], *, lists: frozenset[str] = frozenset()) -> Asked:
    """What the query asks for.

    Args:
        request: Its query string.
        model: By which names, and which values can be.
        lists: Names that may be repeated; each of the others is given once.

    Raises:
        ProblemError: 422, names what can't be.
    """
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        given[name] = values if name in lists or len(values) > 1 else values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None


def parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """The model's fields as OpenAPI describes parameters of a query."""
    described = model.model_json_schema(by_alias=True)
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.pop("description"),
            "schema": schema,
        }
        for name, schema in described["properties"].items()
    ]
