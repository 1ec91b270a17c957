"""Results that stand in a drop more than once: of one pupil, at one school, of one test on one day the last row counts.

Decided on persons, after linking: the same pupil may stand in a file once by BSN and once by onderwijsnummer.
"""

from typing import NamedTuple

import polars as pl

from gateway.linker.results import SAME


class Repeated(NamedTuple):
    """`counts`: which rows count; how many don't because a later row says the same (`alike`) or another score (`contradictory`)."""

    counts: pl.Series
    alike: int
    contradictory: int


def repeated(persons: pl.Series, schools: pl.Series, results: pl.DataFrame) -> Repeated:
    """Of each row of `results` (RESULT_COLUMNS, texts as categories, in the order of the drop) whether it counts; `persons` and `schools`
    are numbers that tell whose result it is and where it was made.

    Hardly any drop has such rows, so that only rows with a common mark are looked at more closely: some 30 bytes a row while it takes.
    """
    frame = pl.DataFrame([persons.alias("persoon"), schools.alias("school"), *(results[name].to_physical() for name in SAME[2:])])
    marks = frame.select(pl.struct(SAME).hash()).to_series()
    ordered = marks.sort()
    often = ordered.filter(ordered == ordered.shift(1)).unique()
    if often.is_empty():
        return Repeated(pl.repeat(True, frame.height, eager=True), 0, 0)
    at = marks.is_in(often.implode()).arg_true().cast(pl.UInt32)
    rows = frame[at].with_columns(at=at, score=results["score"].gather(at))
    later = rows.select(
        "at",
        beaten=pl.col("at") < pl.col("at").max().over(SAME),
        alike=pl.col("score") == pl.col("score").last().over(SAME),
    ).filter("beaten")
    alike = int(later["alike"].sum())
    counts = pl.repeat(True, frame.height, eager=True).scatter(later["at"], False)
    return Repeated(counts, alike, later.height - alike)
