import random
from typing import Any

import pytest
from bson import encode

from schemas.catalog import (
    LONGEST_WORD,
    MOST_DIFFERENT,
    MOST_TAGS,
    audience_word,
    difference,
    looks,
    owner_word,
    readers,
    resembling,
    searchable,
    tagged,
    word,
)
from schemas.document import Fold
from tests.schemas.test_document import MEDIA, made


def document(context: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """The document of a media with this context."""
    event = made("requested")
    event["data"]["media"] |= {"context": context, **facts}
    return Fold.of(MEDIA, [event]).document()


def test_an_owner_is_no_audience_of_that_name() -> None:
    """Whoever is called like a conversation, or like one's word, is not in it."""
    names = ["team", "owner team", "audience team", "team\n", ""]
    words = [owner_word(name) for name in names] + [audience_word(name) for name in names]
    assert len(set(words)) == len(words)
    assert len({tagged(reader, tag) for reader in ("a", "a b", "a b c") for tag in ("c", "b c", "d")}) == 9


def test_what_nobody_requested_is_nobodys() -> None:
    """A foreign media has no readers, whatever audience is claimed for it."""
    assert readers({"audience": ["team"]}) == []
    assert searchable({"audience": ["team"], "context": {"tags": ["a"]}})["tagged"] == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a", "a"),
        ("", ""),
        ("\0\u202e\n", "\0\u202e\n"),
        (42, "42"),
        (2**70, str(2**70)),
        (1.5, "1.5"),
        (True, None),
        (None, None),
        ([], None),
        ({"a": 1}, None),
    ],
)
def test_text_and_numbers_are_found_by_what_they_are(value: object, found: str | None) -> None:
    """A query's text finds the same text, or a number written so; nothing finds what can't be asked for."""
    assert word(value) == found


def test_long_words_are_found_by_their_digest() -> None:
    """However long, a word is bounded, and another one is another word."""
    words = {word("x" * length) for length in (LONGEST_WORD, LONGEST_WORD + 1, 8000)}
    assert len(words) == 3
    assert all(len(each or "") <= LONGEST_WORD for each in words)


def test_tags_are_bounded() -> None:
    """Of thousands of tags the first are found, each once; a single text is a tag."""
    tags = [*"aab", {"no": "tag"}, *(f"t{number}" for number in range(1000))]
    found = document({"tags": tags}, audience=["team"])
    assert found["tags"] == ["a", "b", *(f"t{number}" for number in range(MOST_TAGS - 2))]
    assert len(found["tagged"]) == 2 * MOST_TAGS
    assert document({"tags": "one"})["tags"] == ["one"]


@pytest.mark.parametrize(
    "context",
    [
        {"conversation_id": {"a\0b": 2**70}, "message_id": [1, None], "tags": {"a": "b"}},
        {"conversation_id": 2**70, "message_id": -0.0, "tags": [2**70, 1e300, False]},
        {"conversation_id": "\0" * 8000, "message_id": "\U0001f4a9" * 2000, "tags": ["\0", "x" * 8000]},
        {"$where": "1", "a.b": {"$gt": ""}, "conversation_id": "$where", "tags": ["$in"]},
    ],
)
def test_a_hostile_context_can_be_stored_and_is_kept(context: dict[str, Any]) -> None:
    """Whatever stands where a word is expected, MongoDB takes the document, and the media says it as it was."""
    found = document(context)
    words = {name: value for name, value in found.items() if name not in {"fold", "media"}}
    assert len(encode(found)) > len(encode(words)) < 8 * 1024
    assert Fold.parse(found["fold"]).known()["media"]["context"] == context


@pytest.mark.parametrize("different", [0, 3, 4, MOST_DIFFERENT])
def test_what_looks_alike_shares_a_quarter(different: int) -> None:
    """Of two hashes that differ in at most so many bits, one is found by what the other is asked for with."""
    chance = random.Random(different)
    for _ in range(200):
        one = chance.getrandbits(64)
        other = one ^ sum(1 << bit for bit in chance.sample(range(64), chance.randrange(different + 1)))
        assert difference(f"{one:016x}", f"{other:016x}") <= different
        assert set(looks(f"{other:016x}")) & set(resembling(f"{one:016x}", different))
