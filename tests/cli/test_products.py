"""What the command line says of products: in one line, by name, with the reason."""

from typing import Any

import pytest

from cli.lines import said
from cli.outcome import outcome
from schemas.document import CloudEvent, Fold
from tests.schemas.test_document import made, way

PROMISED = [{"name": "sizes", "required": True}, {"name": "description", "required": False}]


def promoted() -> CloudEvent:
    """A promotion that promises a required and an optional product."""
    return made("promoted", products=PROMISED, original={"key": "permanent/m/original.jpg"})


def ended(name: str, product: str, *, required: bool, **data: Any) -> CloudEvent:
    """How a product ended."""
    return made(name, product, product=product, required=required, **data)


def of(*events: CloudEvent) -> tuple[str, str]:
    """State and sentence."""
    found = outcome(Fold.of("m", [*way("probed"), promoted(), *events]))
    return found.state, found.why


BROKEN = {"code": "corrupt", "reason": "It is broken."}


def test_ready_says_what_it_is_without() -> None:
    """An optional product that was skipped, or that a function gave up on."""
    done, ready = ended("done", "sizes", required=True), made("ready")
    assert of(done, ready, ended("skipped", "description", required=False, **BROKEN)) == (
        "ready",
        "; without description (skipped: corrupt: It is broken.)",
    )
    failed = made("failed", "description", products=["description"], required=False, function="f", error="OSError")
    assert of(done, ready, failed)[1] == "; without description (failed: OSError)"


def test_failed_says_which_product_is_missing() -> None:
    """Skipped, though it is required, there is no dead letter; given up on, there is one to look at."""
    state, why = of(ended("skipped", "sizes", required=True, **BROKEN))
    assert (state, why) == ("failed", "without sizes, which is required: skipped: corrupt: It is broken.")
    failed: dict[str, Any] = {"products": ["sizes"], "required": True, "function": "render_image", "error": "OSError"}
    _, why = of(made("failed", "sizes", **failed, dead_letter="letter"))
    assert why == (
        "without sizes, which is required (render_image gave up): failed: OSError; `tidegate dead show letter`"
    )


def test_processing_lists_its_products() -> None:
    """How far each is."""
    found = outcome(Fold.of("m", [*way("probed"), promoted(), ended("done", "sizes", required=True)]))
    assert (found.state, found.over) == ("processing", False)
    assert [(each.name, each.state) for each in found.products] == [("sizes", "done"), ("description", "pending")]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ended("skipped", "sizes", required=True, **BROKEN), "sizes: corrupt: It is broken."),
        (ended("done", "tags", required=False), "tags"),
        (made("discarded", cause="deleted", count=1200, objects=[{}] * 8), "1200 objects after deleted"),
        (
            ended("done", "sizes", required=True, renditions=[{"name": f"{n}.webp", "size": 1024} for n in range(10)]),
            "sizes: " + ", ".join(f"{n}.webp 1.0 KiB" for n in range(8)) + " and 2 more",
        ),
    ],
)
def test_a_line_names_what_was_made(event: CloudEvent, line: str) -> None:
    """The product, its first files and their sizes, or why there is none."""
    assert said(event) == line
