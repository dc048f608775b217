"""Clean files as cameras, browsers and office programs make them, by the libraries and programs that make them.

None of them may be refused.
"""

from functools import cache

from tests.samples.clean import images, offices, recordings, texts
from tests.samples.clean.sample import Sample

__all__ = ["Sample", "samples"]


@cache
def samples() -> dict[str, Sample]:
    """All of them by name: made once for a session."""
    made = [*images.samples(), *recordings.samples(), *offices.samples(), *texts.samples()]
    assert len({sample.name for sample in made}) == len(made), "two samples have one name"
    return {sample.name: sample for sample in made}
