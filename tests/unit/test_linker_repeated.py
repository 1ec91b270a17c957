"""Of a result that stands in a drop more than once the last row counts, and it is said whether the others agreed."""

from datetime import date, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from gateway.drop.record import RESULT_COLUMNS
from gateway.linker.repeated import repeated
from gateway.linker.results import SAME

DAY = date(2026, 1, 20)
USUAL: dict[str, Any] = {
    "schooljaar": "2025-2026",
    "jaargroep": "5",
    "kinderdagverblijf": None,
    "peuterspeelzaal": True,
    "uitgever": "cito",
    "toetscode": "RW-3.0-M5",
    "domein": "rekenen_wiskunde",
    "afnamemoment": "M5",
    "afnamedatum": DAY,
    "score": 200.0,
}


def said(*rows: dict[str, Any]) -> tuple[list[bool], int, int]:
    whole = [{"persoon": 1, "school": 1, **USUAL, **row} for row in rows]
    texts = {name: pl.Categorical() if dtype == pl.String else dtype for name, dtype in RESULT_COLUMNS.items()}
    frame = pl.DataFrame(whole, schema={"persoon": pl.UInt32, "school": pl.UInt16, **texts})
    found = repeated(frame["persoon"], frame["school"], frame.select(list(RESULT_COLUMNS)))
    return found.counts.to_list(), found.alike, found.contradictory


def test_nothing_is_left_out_where_nothing_is_repeated() -> None:
    assert said() == ([], 0, 0)
    assert said({}) == ([True], 0, 0)


def test_the_last_row_counts_whatever_it_says() -> None:
    assert said({}, {}) == ([False, True], 1, 0)
    assert said({"score": 210.0}, {}) == ([False, True], 0, 1)
    assert said({"score": 210.0}, {}, {"score": 205.0}, {"score": 210.0}) == ([False, False, False, True], 1, 2)


def test_what_is_said_of_the_pupil_beside_the_score_makes_no_other_result() -> None:
    assert said({"jaargroep": "4", "kinderdagverblijf": True, "schooljaar": "2024-2025", "afnamemoment": ""}, {}) == ([False, True], 1, 0)


def test_another_pupil_school_test_or_day_is_another_result() -> None:
    for name, other in {
        "persoon": 2, "school": 2, "uitgever": "iep", "domein": "spelling", "toetscode": "RW-3.0-E5", "afnamedatum": DAY + timedelta(1)
    }.items():  # fmt: skip
        assert name in SAME
        assert said({}, {name: other}, {}) == ([False, True, True], 1, 0)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "persoon": st.integers(0, 2),
            "school": st.integers(0, 1),
            "toetscode": st.sampled_from(["A", "B"]),
            "afnamedatum": st.sampled_from([DAY, DAY + timedelta(1)]),
            "score": st.sampled_from([1.0, 2.0]),
            "jaargroep": st.sampled_from(["3", "4"]),
        }
    ),
    max_size=30,
)


@given(ROWS)
def test_any_rows_come_out_as_a_dictionary_would_have_them(rows: list[dict[str, Any]]) -> None:
    last = {tuple({**USUAL, **row}[name] for name in SAME): at for at, row in enumerate(rows)}
    beaten = [(row, rows[at]) for number, row in enumerate(rows) if (at := last[tuple({**USUAL, **row}[name] for name in SAME)]) != number]
    counts, alike, contradictory = said(*rows)
    assert counts == [at in last.values() for at in range(len(rows))]
    assert alike == sum(one["score"] == other["score"] for one, other in beaten)
    assert alike + contradictory == len(beaten)
