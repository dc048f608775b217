"""The decorator: what it reads, what it refuses, and how installed functions are found."""

import sys
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from events.registry import ENTRY_POINTS, Because, First, Registry, Tick, function, graph, load
from events.streams import stream_of
from tests.events.domain import Delivered, Fact, Labelled, Note, Refused, Sent, Weighed, application


async def whatever(event: Any, ctx: Any) -> None:
    """Does nothing."""


def read(annotation: Any) -> tuple[type, ...]:
    """The outputs that the decorator reads from a return annotation."""

    async def some(event: Any, ctx: Any) -> None: ...

    some.__annotations__["return"] = annotation
    registry = Registry()
    function(on=Sent, into=registry)(some)
    return registry.functions["some"].outputs


def test_function_is_returned_unchanged() -> None:
    """A test calls the very function that was decorated."""
    assert function(on=Sent, into=Registry())(whatever) is whatever


@pytest.mark.parametrize(
    ("annotation", "outputs"),
    [
        (None, ()),
        (Weighed, (Weighed,)),
        (Weighed | None, (Weighed,)),
        (Weighed | Refused | None, (Weighed, Refused)),
        (list[Labelled], (Labelled,)),
        (tuple[Weighed, Labelled], (Weighed, Labelled)),
        (tuple[Labelled, ...], (Labelled,)),
        (list[Labelled | Weighed], (Labelled, Weighed)),
        (First[Weighed], (Weighed,)),
        (First[Because[Weighed]] | Because[Refused] | Delivered | None, (Weighed, Refused, Delivered)),
        (AsyncIterator[Weighed | Because[Delivered]], (Weighed, Delivered)),
    ],
)
def test_outputs_are_read_from_the_annotation(annotation: Any, outputs: tuple[type, ...]) -> None:
    """Unions, lists, tuples, iterators, `First` and `Because` are looked through."""
    assert read(annotation) == outputs


@pytest.mark.parametrize("annotation", [dict[str, Weighed], "Wieghed", Any, 5])
def test_annotation_of_no_event_is_refused(annotation: Any) -> None:
    """What names no event models is an error at import, not at the first delivery."""
    with pytest.raises((TypeError, NameError)):
        read(annotation)


def test_inputs_are_read_from_a_union() -> None:
    """One function may take several events."""
    registry = Registry()
    function(on=Sent | Weighed, into=registry)(whatever)
    assert registry.functions["whatever"].inputs == (Sent, Weighed)
    assert registry.taking(Sent) == [registry.functions["whatever"]]
    assert registry.taking(Refused) == []


def test_an_event_that_knows_more_is_another_one() -> None:
    """Events inherit what they carry forward; that doesn't give `promoted` to who takes `uploaded`."""
    registry = Registry()
    function(on=Fact, into=registry)(whatever)
    assert registry.taking(Refused) == []


def test_no_return_annotation_is_refused() -> None:
    """Without it nobody knew what the function emits; the error names the function."""

    async def silent(event: Any, ctx: Any): ...  # noqa: ANN202  that is the mistake

    with pytest.raises(TypeError, match=r"silent.*annotate what it returns"):
        function(on=Sent, into=Registry())(silent)


def test_sync_function_is_refused() -> None:
    """It would block everybody; the error says what to write."""

    def slow(event: Any, ctx: Any) -> None: ...

    with pytest.raises(TypeError, match=r"slow.*async def"):
        function(on=Sent, into=Registry())(slow)


def test_batch_with_outputs_is_refused() -> None:
    """A batch has no one cause to compute ids from."""

    async def many(events: Any, ctx: Any) -> Weighed: ...

    with pytest.raises(TypeError, match=r"many.*emits nothing"):
        function(on=Sent, batch=10, into=Registry())(many)


@pytest.mark.parametrize("options", [{}, {"on": Sent, "every": 5}])
def test_either_an_event_or_a_schedule(options: dict[str, Any]) -> None:
    """A function takes an event or ticks: neither and both are refused."""
    with pytest.raises(TypeError, match="either `on` an event or `every`"):
        function(into=Registry(), **options)(whatever)


@pytest.mark.parametrize("options", [{"on": Sent, "batch": 5}, {"every": 5}])
def test_lanes_of_ticks_and_batches_are_refused(options: dict[str, Any]) -> None:
    """Ticks have no lanes, and in a batch nobody waits for anybody."""
    with pytest.raises(TypeError, match=r"whatever: ticks have no lanes"):
        function(lanes=True, into=Registry(), **options)(whatever)


@pytest.mark.parametrize("options", [{"background": True}, {"cpu": -1}])
def test_weight_that_means_nothing_is_refused(options: dict[str, Any]) -> None:
    """A background that weighs nothing lets nobody past, and nothing weighs less than nothing."""
    with pytest.raises(TypeError, match="say with `cpu` how many cores"):
        function(on=Sent, into=Registry(), **options)(whatever)


def test_scheduled_function_takes_ticks_one_at_a_time() -> None:
    """A schedule means ticks, and no two at once."""
    registry = Registry()
    function(every=5, concurrency=9, into=registry)(whatever)
    known = registry.functions["whatever"]
    assert (known.inputs, known.concurrency) == ((Tick,), 1)


def test_two_functions_of_one_name_are_refused() -> None:
    """The error names both places; registering one function twice is fine."""
    registry = Registry()
    function(on=Sent, into=registry)(whatever)
    function(on=Sent, into=registry)(whatever)

    def another() -> Any:
        async def whatever(event: Any, ctx: Any) -> None: ...

        return whatever

    with pytest.raises(ValueError, match=r"two functions are named whatever: .*test_registry\.whatever and .*another"):
        function(on=Sent, into=registry)(another())


def test_unknown_name_says_what_is_known() -> None:
    """Selecting takes names, all of them without any; a wrong one is answered with the right ones."""
    registry = Registry()
    function(on=Sent, into=registry)(whatever)
    assert [each.name for each in registry.select()] == ["whatever"]
    assert [each.name for each in registry.select(["whatever"])] == ["whatever"]
    with pytest.raises(ValueError, match="no function named wheigh; known: whatever"):
        registry.select(["wheigh"])


def test_inputs_of_two_streams_are_refused() -> None:
    """A consumer reads one stream."""
    registry = Registry()
    function(on=Sent | Note, into=registry)(whatever)
    with pytest.raises(ValueError, match=r"whatever takes inputs from .*split it"):
        stream_of(registry.functions["whatever"], application())


def test_graph_names_inputs_and_outputs() -> None:
    """The graph is drawn from what the decorator read."""
    registry = Registry()

    @function(on=Sent, into=registry)
    async def weigh(event: Sent, ctx: Any) -> Weighed | Refused: ...

    assert graph(registry) == {"weigh": (("Sent",), ("Weighed", "Refused"))}
    assert weigh.__name__ == "weigh"


def install(directory: Path, module: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a distribution with one function module and its entry point on the path, as pip would."""
    (directory / f"{module}.py").write_text(body)
    info = directory / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: parcels-{module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{module} = {module}\n")
    monkeypatch.setattr(sys, "path", [str(directory), *sys.path])
    monkeypatch.delitem(sys.modules, module, raising=False)


def only(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the other installed functions."""
    found = [entry for entry in metadata.entry_points(group=ENTRY_POINTS) if entry.name == module]

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        assert group == ENTRY_POINTS
        return found

    monkeypatch.setattr("events.registry.entry_points", entry_points)


def test_installed_functions_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with an entry point is imported, and its function is registered: no fork is needed."""
    registry = Registry()
    monkeypatch.setattr("events.registry.registry", registry)
    body = (
        "import events.registry\n"
        "from tests.events.domain import Sent\n"
        "@events.registry.function(on=Sent, into=events.registry.registry)\n"
        "async def stamp(event, ctx) -> None: ...\n"
    )
    install(tmp_path, "stamping", body, monkeypatch)
    only("stamping", monkeypatch)
    assert [each.name for each in load()] == ["stamp"]


def test_broken_installed_functions_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that can't be imported is named with its distribution, and with what is wrong."""
    install(tmp_path, "breaking", "raise RuntimeError('no scale here')\n", monkeypatch)
    only("breaking", monkeypatch)
    with pytest.raises(
        ImportError, match="'breaking' of parcels-breaking can't be loaded: RuntimeError: no scale here"
    ):
        load()
