"""Damaged variants of a good file: the same ones for the same seed."""

import random
from collections.abc import Iterator


def variants(good: bytes, count: int, seed: str) -> Iterator[bytes]:
    """So many variants, each damaged in one to three ways."""
    chance = random.Random(seed)
    for _ in range(count):
        damaged = good
        for _ in range(chance.randint(1, 3)):
            damaged = chance.choice(_WAYS)(damaged, chance)
        yield damaged


def _flip(good: bytes, chance: random.Random) -> bytes:
    changed = bytearray(good)
    for _ in range(chance.choice((1, 2, 8, 64))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _number(good: bytes, chance: random.Random) -> bytes:
    """Somewhere a number that lengths and counts are not made for."""
    at = chance.randrange(len(good) + 1)
    number = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1"))
    return good[:at] + number + good[at + 4 :]


def _truncate(good: bytes, chance: random.Random) -> bytes:
    return good[: chance.randrange(len(good) + 1)]


def _insert(good: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(good) + 1)
    return good[:at] + chance.randbytes(chance.choice((1, 4, 100))) + good[at:]


def _remove(good: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(good) + 1)
    return good[:at] + good[at + chance.choice((1, 4, 1000)) :]


def _splice(good: bytes, chance: random.Random) -> bytes:
    """A part of it once more, somewhere else."""
    source, at = (chance.randrange(len(good) + 1) for _ in range(2))
    part = good[source : source + chance.choice((8, 100, 2000))]
    return good[:at] + part + good[at + chance.choice((0, len(part))) :]


_WAYS = (_flip, _number, _truncate, _insert, _remove, _splice)
