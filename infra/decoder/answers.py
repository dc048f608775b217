"""What a child says, believed only as far as it can be."""

from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from infra.decoder.errors import DecodeRejected

_Answer = TypeVar("_Answer", bound=BaseModel)


def validated(model: type[_Answer], result: dict[str, JsonValue]) -> _Answer:
    """A job's result as a model.

    Raises:
        DecodeRejected: `decode_crash`: it can't be the result of that job.
    """
    try:
        return model.model_validate(result)
    except ValidationError as error:
        raise DecodeRejected(
            "decode_crash", f"the decoder's result is impossible: {error.error_count()} errors"
        ) from error
