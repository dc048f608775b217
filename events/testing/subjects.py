"""Subjects and their wildcards: `*` is one token, `>` at the end is one or more."""

import re


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject matches a pattern, wildcards included."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(one in ("*", other) for one, other in zip(wanted, tokens, strict=True))


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
