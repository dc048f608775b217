"""Ranges and conditions, for any header that a client may write."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ranges import Span, Unsatisfiable, another, known, matches, span, still

NUMBERS = st.integers(0, 30)
SPECS = st.one_of(
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    NUMBERS.map(lambda first: f"{first}-"),
    NUMBERS.map(lambda last: f"-{last}"),
)


def wanted(spec: str, size: int) -> set[int] | None:
    """The bytes of one range, by the words of RFC 9110; None: it is no range."""
    first, _, last = spec.partition("-")
    if not first:
        return set(range(max(size - int(last), 0), size)) if int(last) else set()
    if last and int(last) < int(first):
        return None
    return set(range(int(first), min(int(last) + 1 if last else size, size)))


@given(st.lists(SPECS, min_size=1, max_size=5), st.integers(0, 25))
def test_a_span_has_exactly_the_bytes_asked_for(specs: list[str], size: int) -> None:
    """What is sent as a part is all bytes of the ranges and no other; otherwise the whole file, or 416 for none."""
    sets = [wanted(spec, size) for spec in specs]
    union = set[int]().union(*(each for each in sets if each is not None))
    try:
        found = span(f"bytes={','.join(specs)}", size)
    except Unsatisfiable:
        assert not union
        return
    if found is None:
        gaps = len(union) != max(union, default=0) - min(union, default=0) + 1
        assert None in sets or gaps
    else:
        assert set(range(found.start, found.start + found.length)) == union


@given(st.text(alphabet="bytes=0123456789-, \tx", max_size=40), st.integers(0, 2**40))
def test_any_header_is_answered(header: str, size: int) -> None:
    """With a span within the file, the whole file, or 416."""
    try:
        found = span(header, size)
    except Unsatisfiable:
        return
    assert found is None or (found.length > 0 and 0 <= found.start <= found.start + found.length <= size)


@pytest.mark.parametrize("header", [None, "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "items=0-1"])
def test_what_is_no_range_is_the_whole_file(header: str | None) -> None:
    """A server must ignore what it doesn't understand."""
    assert span(header, 100) is None


def test_thousands_of_ranges_are_not_computed() -> None:
    """Nor sent: the whole file is."""
    assert span("bytes=" + ",".join("0-" for _ in range(17)), 100) is None
    assert span("bytes=" + ",".join("0-" for _ in range(16)), 100) == Span(0, 100)
    assert span("bytes=" + "9" * 25 + "-", 100) is None


def test_conditions() -> None:
    """If-None-Match compares weakly and takes lists; If-Range takes one strong tag or exactly the date."""
    assert matches('"a"', '"a"')
    assert matches('W/"a"', '"a"')
    assert matches('"b" , W/"a"', '"a"')
    assert matches(" * ", '"a"')
    assert not matches(None, '"a"')
    assert not matches('"ab"', '"a"')
    assert not matches("a", '"a"')
    assert still(None, '"a"', "date")
    assert still('"a"', '"a"', "date")
    assert still("date", '"a"', "date")
    assert not still('W/"a"', '"a"', "date")
    assert not still("later", '"a"', "date")


NOW, THEN, BEFORE = (f"Mon, 01 Jan 2024 00:00:0{second} GMT" for second in (2, 1, 0))
MODIFIED = datetime(2024, 1, 1, 0, 0, 1, 500_000, UTC)


@pytest.mark.parametrize(
    ("headers", "is_known", "is_another"),
    [
        ({}, False, False),
        ({"if-modified-since": NOW}, True, False),
        ({"if-modified-since": THEN}, True, False),
        ({"if-modified-since": BEFORE}, False, False),
        ({"if-modified-since": "yesterday"}, False, False),
        ({"if-modified-since": NOW, "if-none-match": '"b"'}, False, False),
        ({"if-modified-since": BEFORE, "if-none-match": '"a"'}, True, False),
        ({"if-match": '"a"'}, False, False),
        ({"if-match": '"b", "a"'}, False, False),
        ({"if-match": "*"}, False, False),
        ({"if-match": '"b"'}, False, True),
        ({"if-match": 'W/"a"'}, False, True),
        ({"if-unmodified-since": THEN}, False, False),
        ({"if-unmodified-since": BEFORE}, False, True),
        ({"if-unmodified-since": "yesterday"}, False, False),
        ({"if-unmodified-since": BEFORE, "if-match": '"a"'}, False, False),
    ],
)
def test_tags_come_before_dates(headers: dict[str, str], is_known: bool, is_another: bool) -> None:
    """A date counts where no tag is given, to the second that HTTP can write; what is no date means nothing."""
    assert known(headers, '"a"', MODIFIED) is is_known
    assert another(headers, '"a"', MODIFIED) is is_another
