"""Dead letters: kept with everything a retry needs, and given again as often as somebody asks."""

import os
from pathlib import Path
from typing import Any

import pytest

from events.dead import DeadLetter, letters, retry
from events.registry import Registry, Tick, function
from events.ticks import Ticker
from tests.events.domain import Note, Sent, Weighed, on_both, post, until
from tests.events.servers import eventually


class Mood:
    """Whether the functions of a test succeed."""

    good = False
    runs = 0

    def check(self) -> None:
        """Raise in a bad mood."""
        self.runs += 1
        if not self.good:
            raise ValueError


def registered(mood: Mood) -> Registry:
    """Functions that give up at their first failure."""
    registry = Registry()

    @function(on=Sent, into=registry, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        mood.check()
        return Weighed(parcel=event.parcel)

    @function(on=Note, into=registry, attempts=1)
    async def receive(event: Note, ctx: Any) -> Weighed:
        mood.check()
        return Weighed(parcel=event.parcel)

    @function(every=3600, into=registry, attempts=1)
    async def sweep(event: Tick, ctx: Any) -> None:
        mood.check()

    return registry


async def dead(place: Any, count: int = 1) -> list[tuple[Any, DeadLetter]]:
    """The dead letters and the messages that hold them, once there are so many."""

    async def there() -> bool:
        return len(await place.letters()) == count

    await until(there, f"{count} dead letters")
    return [each async for each in letters(place.bus)]


@on_both
async def test_retry_keeps_its_run_and_removes_the_letter(kind: str, tmp_path: Path) -> None:
    """The event goes to its function again in the run it came in; what follows has the id it would have had."""
    mood = Mood()
    async with post(kind, tmp_path, registered(mood)) as place:
        await place.send("p1", run="7")
        ((stored, letter),) = [each for each in await dead(place, 2) if each[1].function == "weigh"]
        mood.good = True
        await retry(place.bus, stored, letter, "alice/1")
        weighed = await place.event("weighed", "p1")
        assert weighed["run"] == "7"
        assert "weigh" not in [letter.function for letter in await place.letters()]


@on_both
async def test_second_retry_is_not_swallowed(kind: str, tmp_path: Path) -> None:
    """Retried at once again, within the duplicate window, an event reaches its function again and dies again."""
    mood = Mood()
    registry = registered(mood)
    for name in ("receive", "sweep"):
        registry.functions.pop(name)
    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        seen: set[str] = set()
        for asking in range(3):
            ((stored, letter),) = await dead(place)
            seen.add(letter.letter_id)
            assert mood.runs == asking + 1
            await retry(place.bus, stored, letter, f"alice/{asking}")
            await eventually(lambda runs=asking + 2: mood.runs == runs, "taken again")
        assert len(seen) == 3


@on_both
async def test_same_letter_is_written_once(kind: str, tmp_path: Path) -> None:
    """Its id is of the consumer and the input's sequence: a death after it was written doesn't write it again."""
    mood = Mood()
    async with post(kind, tmp_path, registered(mood)) as place:
        await place.send("p1")
        ((stored, letter),) = [each for each in await dead(place, 2) if each[1].function == "weigh"]
        again = await place.bus.publish(letter.dead_subject, stored.data, message_id=letter.message_id)
        assert again.duplicate


@on_both
async def test_notification_is_given_back_where_it_came_from(kind: str, tmp_path: Path) -> None:
    """What came from elsewhere is published there again: its function reads nothing else."""
    mood = Mood()
    async with post(kind, tmp_path, registered(mood)) as place:
        await place.bus.publish("minio.fast", b'{"parcel": "p1"}')
        ((stored, letter),) = [each for each in await dead(place, 2) if each[1].function == "receive"]
        assert letter.subject == "minio.fast"
        mood.good = True
        await retry(place.bus, stored, letter, "alice/1")
        await place.event("weighed", "p1")
        assert "receive" not in [letter.function for letter in await place.letters()]


@on_both
async def test_dead_tick_is_given_back(kind: str, tmp_path: Path) -> None:
    """A tick that died can be retried, and the next slot's tick comes all the same."""
    mood = Mood()
    async with post(kind, tmp_path, registered(mood)) as place:
        ((stored, letter),) = await dead(place)
        assert letter.function == "sweep"
        mood.good = True
        await retry(place.bus, stored, letter, "alice/1")
        await eventually(lambda: mood.runs == 2, "the retried tick")
        ticker = Ticker(place.bus, place.functions[2])
        assert await ticker.tick(2**40)
        await eventually(lambda: mood.runs == 3, "the next tick")


@on_both
async def test_unreadable_message_is_kept_and_given_to_its_function_alone(kind: str, tmp_path: Path) -> None:
    """A message that is no event is listed with its bytes; a retry gives it to the function that could not read it."""
    mood = Mood()
    async with post(kind, tmp_path, registered(mood)) as place:
        await place.bus.publish("media.sent.box.standard.p1.0.x", b"no event \xff")
        ((stored, letter),) = [each for each in await dead(place, 2) if each[1].function == "weigh"]
        assert (letter.event, letter.about, letter.error) == (None, "unknown", "Unreadable")
        await retry(place.bus, stored, letter, "alice/1")
        ((_, again),) = [
            each for each in await dead(place, 2) if each[1].function == "weigh" and each[0].sequence != stored.sequence
        ]
        assert again.subject == "invoke.weigh.standard.unknown"
        assert again.payload == letter.payload


@on_both
async def test_message_too_large_to_keep_says_so(kind: str, tmp_path: Path) -> None:
    """What would not fit into a letter is named in one all the same; it can't be retried, and the error says so."""
    mood = Mood()
    async with post(kind, tmp_path, registered(mood)) as place:
        await place.bus.publish("media.sent.box.standard.p1.0.x", b"x" * 900_000)
        ((stored, letter),) = [each for each in await dead(place, 2) if each[1].function == "weigh"]
        with pytest.raises(ValueError, match=f"{letter.letter_id} holds a message that is too large"):
            await retry(place.bus, stored, letter, "alice/1")


@on_both
async def test_what_can_not_be_written_is_left_out(kind: str, tmp_path: Path) -> None:
    """An exception that names an undecodable file, or a large notification, still ends in a letter."""
    registry = Registry()

    @function(on=Sent, into=registry, attempts=1)
    async def weigh(event: Sent, ctx: Any) -> Weighed:
        raise OSError(os.fsdecode(b"no file \xff"))

    @function(on=Note, into=registry, attempts=1)
    async def receive(event: Note, ctx: Any) -> Weighed:
        raise ValueError

    async with post(kind, tmp_path, registry) as place:
        await place.send("p1")
        await place.bus.publish("minio.fast", b'{"parcel": "p1", "more": "' + b"x" * 900_000 + b'"}')
        found = {letter.function: letter for _, letter in await dead(place, 2)}
    assert found["weigh"].message == "no file ?"
    assert (found["receive"].event, found["receive"].payload) == (None, None)


@on_both
async def test_letters_of_one_function(kind: str, tmp_path: Path) -> None:
    """Letters are listed oldest first, of all functions or of one."""
    mood = Mood()
    async with post(kind, tmp_path, registered(mood)) as place:
        await place.send("p1", "p2")
        await dead(place, 3)
        found = [letter async for _, letter in letters(place.bus, "weigh")]
    assert sorted(letter.about for letter in found) == ["p1", "p2"]
