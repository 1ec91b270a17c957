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
    if rules.scales:
        # reduced to one expression: outside the scale of its own publisher
        outside = pl.lit(False)
        for scale in rules.scales:
            outside |= (pl.col("uitgever") == scale.publisher) & ~pl.col("score").is_between(scale.low, scale.high)
        tests.append(("range", "score", outside))
    masks = frame.select(test.fill_null(False).alias(str(number)) for number, (_, _, test) in enumerate(tests))
    faults = [(rule, column, mask) for (rule, column, _), mask in zip(tests, masks, strict=True) if mask.any()]
    if raw["bsn"].null_count():
        numberless = raw["bsn"].is_null() & raw["onderwijsnummer"].is_null()
        unlinkable = numberless & (raw["postcode"].is_null() | raw["huisnummer"].is_null())
        if unlinkable.any():
            faults.append(("no-identifier", None, unlinkable))
    return faults


def unusual_moments(frame: pl.DataFrame, rules: Rules) -> tuple[int, int]:
    """How many rows were tested outside the usual months of their moment, and the number of the first of them (0: none)."""
    unusual = pl.lit(False)
    for moment in rules.moments:
        here = pl.col("afnamemoment").str.starts_with(moment.prefix)
        unusual |= here & ~pl.col("afnamedatum").dt.month().is_in(list(moment.months))
    rows = frame.filter(unusual.fill_null(False))["row"]
    return len(rows), int(rows[0]) if len(rows) else 0
