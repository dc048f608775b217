"""The decorator that makes a function known, and what is known of it."""

import inspect
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from events.envelope import Envelope

Handler = Callable[..., Any]
T = TypeVar("T")

ENTRY_POINTS = "tidegate.functions"


class FunctionsUnusable(ImportError):
    """Installed functions can't be used; the message names them and says why."""


@dataclass(frozen=True, slots=True)
class First(Generic[T]):
    """An output that is published only if `among` holds no message yet: the first wins, atomically, with no lock.

    Refused, `otherwise` says what follows instead (it may look who won).
    """

    event: T
    among: str
    otherwise: Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Because(Generic[T]):
    """An output that follows from another event than the input: from what a tick found, say."""

    event: T
    cause: Envelope


@dataclass(frozen=True, slots=True)
class Tick:
    """The input of a scheduled function. `slot` counts the intervals since the epoch."""

    function: str
    slot: int


@dataclass(frozen=True, slots=True)
class Function:
    """What the decorator said of a function. Times in seconds."""

    name: str
    handler: Handler
    inputs: tuple[type, ...]
    outputs: tuple[type, ...]
    kinds: tuple[str, ...] = ()
    timeout: float = 60.0
    concurrency: int = 8
    attempts: int | None = None
    batch: int = 0
    linger: float = 0.0
    every: float | None = None
    announces_failure: bool = True
    version: str = "1"
    products: tuple[str, ...] = ()
    cpu: float = 0.0
    background: bool = False
    lanes: bool = False

    @property
    def streams(self) -> bool:
        """Whether the handler yields its outputs one by one."""
        return inspect.isasyncgenfunction(self.handler)


@dataclass(slots=True)
class Registry:
    """Functions by name."""

    functions: dict[str, Function] = field(default_factory=dict[str, Function])

    def add(self, function: Function) -> None:
        """Register; the same name twice is an error that names both places.

        Raises:
            ValueError: the name is taken.
        """
        known = self.functions.get(function.name)
        if known is not None and known.handler is not function.handler:
            raise ValueError(
                f"two functions are named {function.name}: {_place(known.handler)} and {_place(function.handler)}; "
                "rename one of them"
            )
        self.functions[function.name] = function

    def select(self, names: Iterable[str] = ()) -> list[Function]:
        """The named functions, or all.

        Raises:
            ValueError: a name is unknown; says which are known.
        """
        wanted = list(names) or list(self.functions)
        unknown = [name for name in wanted if name not in self.functions]
        if unknown:
            raise ValueError(f"no function named {', '.join(unknown)}; known: {', '.join(sorted(self.functions))}")
        return [self.functions[name] for name in wanted]

    def taking(self, model: type) -> list[Function]:
        """The functions that take exactly this event: an event that knows more is another one."""
        return [function for function in self if model in function.inputs]

    def __iter__(self) -> Iterator[Function]:
        return iter(self.functions.values())


registry = Registry()
"""The functions of this process: those imported so far."""


def load() -> Registry:
    """Import every installed function: the entry points of group `tidegate.functions`.

    Raises:
        FunctionsUnusable: one can't be imported; names the entry point and its distribution.
    """
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            entry.load()
        except Exception as error:
            owner = entry.dist.name if entry.dist else "an unknown distribution"
            raise FunctionsUnusable(
                f"the functions {entry.value!r} of {owner} can't be loaded: {type(error).__name__}: {error}"
            ) from error
    return registry


def function(
    *,
    on: object = None,
    every: float | None = None,
    kinds: tuple[str, ...] = (),
    timeout: float = 60.0,
    concurrency: int = 8,
    attempts: int | None = None,
    batch: int = 0,
    linger: float = 0.0,
    announces_failure: bool = True,
    version: str = "1",
    products: tuple[str, ...] = (),
    cpu: float = 0.0,
    background: bool = False,
    lanes: bool = False,
    into: Registry = registry,
) -> Callable[[Handler], Handler]:
    """Register a function; it is returned unchanged, so a test calls it directly.

    Args:
        on: the event model it takes, or a union of models. A base class takes every event that derives from it.
        every: seconds between two ticks, for a function that takes a `Tick` instead.
        kinds: narrows `on` to these kinds; empty: all.
        timeout: seconds one try may take, from the moment the handler starts.
        concurrency: how many run at once in one process.
        attempts: failures before a dead letter; None: what the settings say.
        batch: > 0: the handler takes a list of up to `batch` envelopes at once instead of one event.
        linger: seconds a batch's first delivery waits for more.
        announces_failure: whether a dead letter is also said with the application's `failed` event.
        version: the function's own version, in every event it emits.
        products: what `failed` says is missing when this function gives up.
        cpu: what one try takes of the process's CPU budget, in cores; 0: it mostly waits (`events.budget`).
        background: one try takes so long that what is quick is let past those that wait for their share.
        lanes: one consumer a lane, served by weight; for functions where waiting hurts.
        into: the registry (tests use their own).

    Raises:
        TypeError: neither or both of `on` and `every`; no return annotation, or one that names no event models; not
            `async def`; a batch with outputs; lanes for ticks or batches; a background that weighs nothing.
    """

    def register(handler: Handler) -> Handler:
        if (on is None) == (every is None):
            raise TypeError(f"{_place(handler)}: a function takes either `on` an event or `every` so many seconds")
        if not (inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler)):
            raise TypeError(f"{_place(handler)}: a function is `async def`")
        hints = get_type_hints(handler)
        if "return" not in hints:
            raise TypeError(f"{_place(handler)}: annotate what it returns; that is the list of what it can emit")
        outputs = tuple(_members(hints["return"]))
        if batch and outputs:
            raise TypeError(f"{_place(handler)}: a batch has no one cause to compute ids from, so it emits nothing")
        if lanes and (batch or every is not None):
            raise TypeError(f"{_place(handler)}: ticks have no lanes, and in a batch nobody waits for anybody")
        if cpu < 0 or (background and not cpu):
            raise TypeError(f"{_place(handler)}: say with `cpu` how many cores it takes; without, nobody waits for it")
        into.add(
            Function(
                name=handler.__name__,
                handler=handler,
                inputs=(Tick,) if every is not None else tuple(_members(on)),
                outputs=outputs,
                kinds=kinds,
                timeout=timeout,
                concurrency=1 if every is not None else concurrency,
                attempts=attempts,
                batch=batch,
                linger=linger,
                every=every,
                announces_failure=announces_failure,
                version=version,
                products=products,
                cpu=cpu,
                background=background,
                lanes=lanes,
            )
        )
        return handler

    return register


def _members(annotation: object) -> Iterator[type]:
    """Event models named in an annotation, through unions, lists, iterators and `First`."""
    if annotation is None or annotation is types.NoneType:
        return
    origin = get_origin(annotation)
    if origin is None:
        if not isinstance(annotation, type) or annotation is Any:
            raise TypeError(f"{annotation!r} is no event model")
        yield annotation
    elif origin in {Union, types.UnionType, list, tuple, First, Because} or (
        isinstance(origin, type) and issubclass(origin, AsyncIterator)
    ):
        for member in get_args(annotation):
            if member is not Ellipsis:
                yield from _members(member)
    else:
        raise TypeError(f"{annotation!r} is no event model, nor a union, list or async iterator of them")


def _place(handler: Handler) -> str:
    return f"{handler.__module__}.{handler.__qualname__}"


def graph(functions: Iterable[Function]) -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Each function's inputs and outputs by the names of their models."""
    return {
        item.name: (tuple(model.__name__ for model in item.inputs), tuple(model.__name__ for model in item.outputs))
        for item in functions
    }
