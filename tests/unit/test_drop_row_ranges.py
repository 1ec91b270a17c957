"""Which rows of a part went, as text: there and back, in pieces that fit the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.entry import identifies
from gateway.drop.row_ranges import LONGEST, rows_of, texts_of


def test_a_persons_rows_are_one_range() -> None:
    assert texts_of([26, 27, 28, 40, 42, 43]) == ["1a+3,28+1,2a+2"]
    assert list(rows_of("1a+3,28+1,2a+2")) == [26, 27, 28, 40, 42, 43]
    assert texts_of([]) == [""] and list(rows_of("")) == []


@given(st.sets(st.integers(0, 2_000_000_000), max_size=200))
def test_there_and_back(rows: set[int]) -> None:
    assert [row for text in texts_of(sorted(rows)) for row in rows_of(text)] == sorted(rows)


def test_more_than_the_log_takes_in_one_entry_comes_in_pieces() -> None:
    rows = range(0, 60_000, 3)
    pieces = texts_of(rows)
    assert len(pieces) > 1 and all(0 < len(piece) <= LONGEST for piece in pieces)
    assert [row for text in pieces for row in rows_of(text)] == list(rows)


def test_no_row_is_taken_for_a_pupils_number() -> None:
    row = 111_222_333  # a BSN by its sum
    assert identifies(str(row))
    assert not identifies(texts_of([row])[0])


@pytest.mark.parametrize("text", ["1a", "x+1", "1+", "1+2+3"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        list(rows_of(text))
