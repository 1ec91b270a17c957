"""What is wrong between the columns of a row, though each is well formed by itself."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from policies.rules import Rules

_DAYS_OF_A_YEAR = 365.25


def cross_faults(
    frame: pl.DataFrame, raw: pl.DataFrame, rules: Rules, today: date, barred: Sequence[str]
) -> list[tuple[str, str | None, pl.Series]]:
    """(rule, column, rows that break it) of a typed batch; `raw` is the same batch as text, `barred` the so and vso schools.

    A value that is null because it was refused breaks nothing here: it has its finding.
    """
    tested, born = pl.col("afnamedatum"), pl.col("geboortedatum")
    begins = tested.dt.year() - (tested.dt.month() < 8).cast(pl.Int32)
    tests: list[tuple[str, str | None, pl.Expr]] = [
        ("schooljaar-outside-history", "schooljaar", ~pl.col("schooljaar").is_in(rules.schooljaren(today))),
        ("date-in-future", "afnamedatum", tested > today),
        ("date-outside-schooljaar", "afnamedatum", begins != pl.col("schooljaar").str.head(4).cast(pl.Int32, strict=False)),
    ]
    if barred:
        tests.append(("school-kind", "brin_vestiging", pl.col("brin_vestiging").is_in(list(barred))))
    if rules.age_at_test_years is not None:
        low, high = rules.age_at_test_years
        days = (tested - born).dt.total_days()
        tests.append(("age", "geboortedatum", ~days.is_between(low * _DAYS_OF_A_YEAR, (high + 1) * _DAYS_OF_A_YEAR)))
    masks = frame.select(test.fill_null(False).alias(str(number)) for number, (_, _, test) in enumerate(tests))
    faults = [(rule, column, mask) for (rule, column, _), mask in zip(tests, masks, strict=True) if mask.any()]
    if raw["bsn"].null_count():
        numberless = raw["bsn"].is_null() & raw["onderwijsnummer"].is_null()
        unlinkable = numberless & (raw["postcode"].is_null() | raw["huisnummer"].is_null())
        if unlinkable.any():
            faults.append(("no-identifier", None, unlinkable))
    return faults
