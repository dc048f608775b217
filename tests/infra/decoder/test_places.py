"""Decoders' places: who gets the next one."""

import asyncio

import pytest

from infra.decoder.places import QUICK_IN_A_ROW, Places


def places(*there: int) -> Places[int]:
    """Places that nobody has, the last one given back last."""
    made: Places[int] = Places()
    for each in there:
        made.give(each)
    return made


async def waiting(made: Places[int], name: str, got: list[str], *, quick: bool) -> asyncio.Task[None]:
    """Somebody who waits for a place, says so when he has it, and gives it back."""

    async def wait() -> None:
        place = await made.take(quick=quick)
        got.append(name)
        await asyncio.sleep(0)
        made.give(place)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    return task


async def test_the_last_one_is_warm() -> None:
    """What was given back last is taken first."""
    made = places(1, 2, 3)
    assert [await made.take(quick=True), await made.take(quick=False), await made.take(quick=True)] == [3, 2, 1]
    assert len(made) == 0


async def test_who_is_quick_goes_first() -> None:
    """Before those that came earlier and aren't; among themselves in order of arrival."""
    made, got = places(), list[str]()
    tasks = [await waiting(made, name, got, quick=name.startswith("q")) for name in ("s1", "s2", "q1", "q2")]
    made.give(1)
    await asyncio.gather(*tasks)
    assert got == ["q1", "q2", "s1", "s2"]
    assert len(made) == 1


async def test_nobody_waits_for_ever() -> None:
    """However many are quick, one that isn't has its turn."""
    made, got = places(), list[str]()
    tasks = [await waiting(made, f"q{number}", got, quick=True) for number in range(2 * QUICK_IN_A_ROW)]
    tasks += [await waiting(made, "slow", got, quick=False)]
    made.give(1)
    await asyncio.gather(*tasks)
    assert got.index("slow") == QUICK_IN_A_ROW


@pytest.mark.parametrize("given", [False, True])
async def test_who_goes_away_leaves_his_place(*, given: bool) -> None:
    """Cancelled while he waits, or in the moment in which he gets one: the next one has it."""
    made, got = places(), list[str]()
    leaving = await waiting(made, "leaving", got, quick=True)
    staying = await waiting(made, "staying", got, quick=False)
    if given:
        made.give(1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    if not given:
        made.give(1)
    await staying
    assert got == ["staying"]
    assert len(made) == 1
