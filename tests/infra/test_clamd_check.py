"""A clamd that would say OK to what it did not look into is found out by asking it."""

import pytest

from infra.clamd import Clamd
from infra.clamd_check import shortcomings
from tests.infra.servers import clamd_server


async def test_as_the_stack_runs_it() -> None:
    """The stack's own configuration lacks nothing."""
    with clamd_server() as server:
        assert await shortcomings(Clamd(str(server.path))) == []


@pytest.mark.parametrize(("option", "words"), [("AlertEncrypted", "encrypted"), ("AlertExceedsMax", "past its limits")])
async def test_left_as_it_comes(option: str, words: str) -> None:
    """clamd's own defaults are named, with the line that mends them."""  # noqa: D403 - its name is in lower case
    with clamd_server(changes={option: "no"}) as server:
        (said,) = await shortcomings(Clamd(str(server.path)))
    assert words in said
    assert f"set {option} yes" in said


async def test_without_signatures() -> None:
    """A clamd that doesn't find EICAR finds nothing else either."""
    with clamd_server(database={"other.ndb": b"Other:0:*:4142434445464748\n"}) as server:
        (said,) = await shortcomings(Clamd(str(server.path)))
    assert "EICAR" in said
