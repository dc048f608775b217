"""From a message to a function's input."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from events.application import Application
from events.bus import Message
from events.envelope import Envelope, problems
from events.errors import Unreadable
from events.registry import Function
from events.ticks import tick_input


class Reader:
    """Reads the messages of one function."""

    def __init__(self, function: Function, application: Application) -> None:
        self._function = function
        self._models = application.models
        self._source = next(
            (application.sources[model] for model in function.inputs if model in application.sources), None
        )

    def read(self, message: Message) -> tuple[Envelope, Any]:
        """The envelope, and what the handler takes.

        Raises:
            Unreadable: it is no input of the function, whatever is wrong with it.
        """
        try:
            return self._read(message)
        except Unreadable:
            raise
        except ValidationError as error:
            raise Unreadable(f"not a valid {error.title}: {problems(error)}") from error
        except Exception as error:
            raise Unreadable(f"can't be read: {error!r}") from error

    def _read(self, message: Message) -> tuple[Envelope, Any]:
        if self._function.every is not None:
            return tick_input(self._function.name, message)
        if self._source is not None and not message.subject.startswith("invoke."):
            return self._source.decode(message)
        envelope = Envelope.decode(message.data)
        if self._function.batch:
            # As it came, with fields that this version doesn't know.
            return envelope, from_json(message.data)
        model = self._models.get(envelope.type)
        if model is None:
            raise Unreadable(f"no model for {envelope.type}")
        return envelope, model.model_validate(envelope.data)
