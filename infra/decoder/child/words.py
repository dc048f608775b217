"""A stranger's words made fit to be shown: folded, bounded, without what can't be seen.

Dropped is what has no look of its own and changes the look of others: control characters, marks that turn the
direction of reading (which make "exe.txt" of "txt.exe": https://trojansource.codes), private and unassigned code
points, halves of surrogate pairs. The joiners stay, since Persian, Indian scripts and emoji need them.
https://www.unicode.org/reports/tr44/#General_Category_Values
"""

import re
import unicodedata

_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn"}
_JOINERS = {"\u200c", "\u200d"}
_SPACES = re.compile(r"\s+")
_LIGATURES = re.compile("[\ufb00-\ufb06]")
MOST_MARKS = 8  # on one letter: no script stacks more, who does wants to cover the line above


def plain(text: str, most: int) -> str:
    """Fold white space, expand the ligatures of typesetting, drop what can't be seen, and cut.

    Args:
        text: Anything.
        most: Characters at most; of a longer text the first ones.

    Returns:
        Valid Unicode, composed (NFC), without white space around it.
    """
    # Looking at a bounded part is enough: nothing below makes text longer but ligatures, and spaces are folded first.
    spaced = _SPACES.sub(" ", text.replace("\0", " ")).strip()[: 4 * most + 64]
    spelled = _LIGATURES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), spaced)
    seen = "".join(_visible(unicodedata.normalize("NFC", spelled)))
    return _SPACES.sub(" ", seen).strip()[:most].strip()


def _visible(text: str) -> list[str]:
    kept: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if (category not in _DROPPED or character in _JOINERS) and marks <= MOST_MARKS:
            kept.append(character)
    return kept
