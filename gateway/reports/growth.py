"""From results to matched pairs: two tests of one pupil, at one school, on one scale, in two successive rounds.

A *round* is half a school year as a number: twice the year it began in, plus 0 for its middle (M) or 1 for its end (E). Growth from
M to E of one year and from E to M of the next are then both a step of one. Persons and schools are hashes of their pseudonyms, which
take a quarter of the memory; they live in one computation and are never kept.

Who repeats or skips a group has no figure over the summer (there is no national figure to hold it against), but does within a year.
"""

import polars as pl

from gateway.reports.cells import GROUP_S, OVER_SUMMER, WITHIN_YEAR, Instrument
from policies.growth import Growth

INSTRUMENT_COLUMNS = ("uitgever", "domein", "toetscode")


def round_of(rules: Growth) -> pl.Expr:
    """The round of a result; null when it belongs to neither half (a test at the beginning of the year)."""
    letter = pl.col("afnamemoment").fill_null("").str.slice(0, 1)
    month = pl.col("afnamedatum").dt.month()
    half = (
        pl.when(letter == "M").then(0)
        .when(letter == "E").then(1)
        .when(letter != "").then(None)
        .when(month.is_in(sorted(rules.middle_months))).then(0)
        .when(month.is_in(sorted(rules.end_months))).then(1)
    )  # fmt: skip
    return (2 * pl.col("schooljaar").str.slice(0, 4).cast(pl.Int32, strict=False) + half).cast(pl.Int32)


def newest_round(results: pl.LazyFrame, rules: Growth) -> int | None:
    """The last round with a fair number of results: a few misdated rows don't make a round. None without any."""
    counts = results.select(round=round_of(rules)).drop_nulls().group_by("round").len().sort("round").collect(engine="streaming")
    busy = counts.filter(pl.col("len") >= rules.round_share * pl.col("len").max())
    return None if busy.is_empty() else int(busy["round"][-1])


def instruments(results: pl.LazyFrame, rules: Growth) -> tuple[list[Instrument], pl.DataFrame]:
    """All instruments in the results, sorted, and which number each combination of INSTRUMENT_COLUMNS has among them."""
    codes = results.select(INSTRUMENT_COLUMNS).unique().drop_nulls().collect(engine="streaming").sort(INSTRUMENT_COLUMNS)
    each = [Instrument(domain, publisher, rules.scale(publisher, code)) for publisher, domain, code in codes.iter_rows()]
    known = sorted(set(each))
    number = {instrument: index for index, instrument in enumerate(known)}
    return known, codes.with_columns(instrument=pl.Series([number[one] for one in each], dtype=pl.UInt16))


def measurements(results: pl.LazyFrame, codes: pl.DataFrame, first_round: int, last_round: int, rules: Growth) -> pl.DataFrame:
    """One score for each pupil, school, instrument and round of the range, sorted by these.

    Drops repeat a pupil's history, so the same result comes more than once. Where a pupil sat a test of a round twice the first
    sitting counts, for the second one is practised; two scores of one day: the lower.
    """
    group = pl.when(pl.col("jaargroep") == "S").then(GROUP_S).otherwise(pl.col("jaargroep").cast(pl.UInt8, strict=False))
    rows = (
        results.join(codes.lazy(), on=INSTRUMENT_COLUMNS, how="inner")
        .select(
            pl.col("persoon").cast(pl.String).hash().alias("person"),
            pl.col("school").cast(pl.String).hash().alias("school"),
            "instrument",
            round_of(rules).alias("round"),
            group.cast(pl.UInt8).alias("group"),
            pl.col("afnamedatum").alias("date"),
            "score",
            "kinderdagverblijf",
            "peuterspeelzaal",
        )
        .filter(pl.col("round").is_between(first_round, last_round), pl.col("score").is_finite(), pl.col("group").is_not_null())
        .collect(engine="streaming")
    )
    rows = rows.sort("person", "school", "instrument", "round", "date", "score", "group", "kinderdagverblijf", "peuterspeelzaal")
    key = pl.struct("person", "school", "instrument", "round")
    return rows.filter(key != key.shift(1).fill_null(pl.struct(*_nothing()))) if rows.height else rows


def _nothing() -> list[pl.Expr]:
    """A key that no row has: it stands before the first row."""
    types = {"person": pl.UInt64, "school": pl.UInt64, "instrument": pl.UInt16, "round": pl.Int32}
    return [pl.lit(-1 if name == "round" else 0, dtype=dtype).alias(name) for name, dtype in types.items()]


def matched_pairs(rows: pl.DataFrame) -> pl.DataFrame:
    """Pairs of successive measurements: person, school, instrument, period, group (of the first), round (of the second), first,
    second, growth, and what is known of the pupil."""
    same = [pl.col(name) == pl.col(name).shift(1) for name in ("person", "school", "instrument")]
    before = pl.col("group").shift(1)
    period = (pl.col("round") + 1) % 2  # the second test is at an end: within the year
    step = pl.col("group").cast(pl.Int16) - before.cast(pl.Int16)
    stays = (step == 0) & ((period == WITHIN_YEAR) | (before == GROUP_S))
    moves = (step == 1) & (period == OVER_SUMMER) & (before != GROUP_S)
    return (
        rows.lazy()
        .with_columns(first=pl.col("score").shift(1), earlier=pl.col("round").shift(1), before=before, period=period.cast(pl.UInt8))
        .filter(*same, pl.col("round") - pl.col("earlier") == 1, stays | moves)
        .select(
            "person", "school", "instrument", "period", pl.col("before").alias("group"), "round", "first",
            pl.col("score").alias("second"), (pl.col("score") - pl.col("first")).alias("growth"),
            "kinderdagverblijf", "peuterspeelzaal",
        )
        .collect()
    )  # fmt: skip
