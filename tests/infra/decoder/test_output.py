"""Bytes that decoder children give back."""

import asyncio
import os
import resource
from collections.abc import Callable

import pytest
from pydantic import JsonValue, ValidationError

from infra.decoder import DecodeRejected, DecoderPool, Output, Written
from infra.decoder.output import OUTPUT_BYTES

PAGE = resource.getpagesize()


def places(said: dict[str, JsonValue]) -> list[Written]:
    """Where a job says its files are."""
    files = said["files"]
    assert isinstance(files, list)
    return [Written.model_validate(each) for each in files]


@pytest.mark.parametrize("length", [0, 1, PAGE - 1, PAGE, PAGE + 1])
async def test_files_come_back(pool: DecoderPool, file_of: Callable[[bytes], int], length: int) -> None:
    """Several files of one job, of any length, beside the file that it reads."""
    with Output() as output:
        said = await pool.run("give", file_of(b"input"), {"files": 3, "bytes": length}, output=output)
        assert [output.read(each) for each in places(said)] == [bytes([number]) * length for number in range(3)]


async def test_many_jobs_at_once(pool: DecoderPool) -> None:
    """Each has an output of its own."""

    async def one(number: int) -> list[bytes]:
        with Output() as output:
            said = await pool.run("give", None, {"files": number, "bytes": number * 1000}, output=output)
            return [output.read(each) for each in places(said)]

    given = await asyncio.gather(*(one(number) for number in range(20)))
    assert [[len(each) for each in files] for files in given] == [[number * 1000] * number for number in range(20)]


async def test_a_job_that_gives_too_much(pool: DecoderPool) -> None:
    """What doesn't fit is refused; the last byte of what does is there."""
    with Output(4 * PAGE) as output:
        said = await pool.run("give", None, {"files": 4, "bytes": PAGE}, output=output)
        assert [len(output.read(each)) for each in places(said)] == [PAGE] * 4
        with pytest.raises(DecodeRejected, match="decode_memory"):
            await pool.run("give", None, {"files": 2, "bytes": 2 * PAGE + 1}, output=output)


async def test_a_second_try_begins_with_nothing(pool: DecoderPool) -> None:
    """What the child before it left there is gone."""
    await asyncio.gather(pool.run("leave_a_trace"), pool.run("leave_a_trace"))
    with Output() as output:
        assert await pool.run("give_once", output=output) == {"found": ""}


async def test_memory_that_a_child_took_over(pool: DecoderPool) -> None:
    """It can't be made longer or shorter, and what the parent has read changes no more."""
    with Output() as output:
        tries = await asyncio.gather(*(pool.run("tamper", output=output) for _ in range(2)))
        assert tries[0] == {
            "grow": "File too large",
            "shrink": "Operation not permitted",
            "append": "File too large",
            "hold": "done",
        }
        assert os.fstat(output.file).st_size == OUTPUT_BYTES
        read = output.read(Written(start=0, length=10))
        await asyncio.gather(*(pool.run("tamper_later") for _ in range(8)))
        assert read == bytes(10)


@pytest.mark.parametrize(
    "said",
    [
        {"start": 0, "length": OUTPUT_BYTES + 1},
        {"start": -1, "length": 1},
        {"start": 0, "length": -1},
        {"start": 0.5, "length": 1},
        {"start": 0, "length": "1"},
        {"start": 0, "length": 1, "name": "x"},
        {"start": 0},
    ],
)
def test_a_place_that_is_none(said: dict[str, object]) -> None:
    """A child's word that can't be true is refused before anything is read."""
    with pytest.raises(ValidationError):
        Written.model_validate(said)


def test_a_place_outside() -> None:
    """Each number may be possible, and the two together not."""
    with Output(PAGE) as output, pytest.raises(ValueError, match="lies outside"):
        output.read(Written(start=PAGE - 1, length=2))
