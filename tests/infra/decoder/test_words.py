"""Words made fit to be shown."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from infra.decoder.child.words import plain


@given(text=st.text(st.characters(), max_size=400), most=st.integers(1, 50))
def test_any_text_is_fit_to_be_shown(text: str, most: int) -> None:
    """Valid, bounded, folded, with nothing in it that can't be seen; fit already, it stays."""
    shown = plain(text, most)
    assert len(shown) <= most
    assert shown == shown.strip()
    assert "  " not in shown
    shown.encode()
    unseen = {each for each in shown if unicodedata.category(each)[0] == "C"}
    assert unseen <= {"\u200c", "\u200d"}
    assert plain(shown, most) == shown


def test_ligatures_and_composition() -> None:
    """Typesetters' ligatures become letters, loose accents are put on theirs, other symbols stay what they are."""
    assert plain("e\ufb03cient \ufb01sh, cafe\u0301, ½ ™ Ⅷ", 100) == "efficient fish, caf\u00e9, ½ ™ Ⅷ"


def test_separators_separate() -> None:
    """What separated words still does; what only hid between letters is gone."""
    assert plain("one\0two\x1ethree\u00a0four\u3000five\u2029six", 100) == "one two three four five six"
    assert plain("pass\u200bword\u00ad\u202e\ud83d", 100) == "password"


def test_cut_where_it_is_long() -> None:
    """However much space and however many hidden characters come first, in the time of a short text."""
    assert plain(" \n" * 1_000_000 + "begins here", 6) == "begins"
    assert plain("word " * 1_000_000, 9) == "word word"
    assert plain("\u202e" * 1_000_000 + "late", 10) == ""
