"""Subjects and their wildcards: `*` is one token, `>` at the end is one or more."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject matches a pattern, wildcards included."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(one in ("*", other) for one, other in zip(wanted, tokens, strict=True))


@dataclass(slots=True)
class Subjects:
    """The sequences stored under each subject, found by a pattern without a look at every subject."""

    here: list[int] = field(default_factory=list[int])
    _tokens: "dict[str, Subjects]" = field(default_factory=dict[str, "Subjects"])

    def of(self, subject: str) -> list[int]:
        """Those of one subject, to read and to change."""
        found = self
        for token in subject.split("."):
            found = found._tokens.setdefault(token, Subjects())
        return found.here

    def matching(self, pattern: str) -> Iterator[list[int]]:
        """Those of each subject that matches, if it has any."""
        return self.below(pattern.split("."))

    def below(self, wanted: list[str]) -> Iterator[list[int]]:
        """Those below this node whose remaining tokens match."""
        if not wanted:
            if self.here:
                yield self.here
            return
        first, *rest = wanted
        if first == ">":
            # The rest of a subject, one token or more.
            for each in self._tokens.values():
                yield from each.below([])
                yield from each.below(wanted)
        elif first == "*":
            for each in self._tokens.values():
                yield from each.below(rest)
        elif first in self._tokens:
            yield from self._tokens[first].below(rest)


def overlaps(one: str, other: str) -> bool:
    """Whether some subject matches both patterns."""
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return one.count(".") == other.count(".")


def transformed(subject: str, src: str, dest: str) -> str:
    """The subject of a copy: `{{wildcard(n)}}` in `dest` is what the n-th `*` of `src` stood for."""
    wild = [token for token, part in zip(subject.split("."), src.split("."), strict=False) if part == "*"]
    return _WILDCARD.sub(lambda match: wild[int(match[1]) - 1], dest)


_WILDCARD = re.compile(r"\{\{\s*wildcard\((\d+)\)\s*\}\}")
