"""Clean files and polyglots with bytes changed, cut out, put in: there is always an answer, after few questions."""

import os
import random
from typing import Any

from infra.decoder.child.identify import identify
from infra.decoder.child.rejected import Rejected
from infra.magic import HEAD_BYTES, MOST_BYTES, MOST_READS, WHOLE_BYTES
from tests.samples.clean import samples
from tests.samples.polyglots import FILES

FILES_TRIED = 2000
LARGEST = 100_000
BUDGET: dict[str, Any] = {"max_bytes": 2**30, "max_ratio": 100.0}


def test_every_answer_is_one() -> None:
    """No file makes the job raise what is no verdict, ask without end or outside the file, or contradict itself."""
    seed = random.SystemRandom().getrandbits(64)
    chance = random.Random(seed)
    bodies = [body for body in (*(each.body for each in samples().values()), *_polyglots()) if len(body) <= LARGEST]
    file = os.memfd_create("fuzzed")
    try:
        for number in range(FILES_TRIED):
            body = _changed(chance, bodies)
            os.ftruncate(file, 0)
            os.pwrite(file, body, 0)
            said = f"seed {seed}, file {number}"
            by_pieces, whole = _asked(body, said), _found(file)
            assert whole in {by_pieces, "polyglot"}, said
    finally:
        os.close(file)


def _polyglots() -> list[bytes]:
    return [path.read_bytes() for path in FILES]


def _changed(chance: random.Random, bodies: list[bytes]) -> bytes:
    body = bytearray(chance.choice(bodies))
    if chance.random() < 0.3:
        del body[chance.randrange(1, len(body)) :]
    if chance.random() < 0.2:
        at = chance.randrange(len(body))
        body[at:at] = chance.choice(bodies)[: chance.randrange(3000)]
    for _ in range(chance.choice((0, 1, 3, 10, 40))):
        at = chance.randrange(min(len(body), chance.choice((16, 64, 600, LARGEST))))
        body[at] = chance.choice((0, 0xFF, chance.randrange(256), body[at] ^ 1 << chance.randrange(8)))
    return bytes(body)


def _asked(body: bytes, said: str) -> str:
    pieces = [(0, body[: len(body) if len(body) <= WHOLE_BYTES else HEAD_BYTES])]
    for _ in range(MOST_READS):
        args = {"size": len(body), "pieces": [[offset, len(piece)] for offset, piece in pieces], **BUDGET}
        try:
            answer = identify(-1, args, b"".join(piece for _, piece in pieces))
        except Rejected as verdict:
            return verdict.code
        if "need" not in answer:
            return answer["content_type"]
        offset, length = answer["need"]
        assert 0 <= offset < offset + length <= len(body), said
        pieces.append((offset, body[offset : offset + length]))
        assert sum(len(piece) for _, piece in pieces) <= MOST_BYTES, said
    raise AssertionError(f"asks without end: {said}")


def _found(file: int) -> str:
    try:
        return identify(file, BUDGET, b"")["content_type"]
    except Rejected as verdict:
        return verdict.code
