"""The order in which results are kept: by person, school, then every other column, whatever the order in which they came.

Equal results in equal order make equal files. Sorting texts of millions of rows is slow, so each column becomes its values' ranks
and all ranks of a row become one number.
"""

import polars as pl

from gateway.drop.record import LINKED_COLUMNS

#: The largest number that an Int128 holds.
ROOM = (1 << 127) - 1


def in_order(results: pl.DataFrame, variant: pl.Series, who: pl.DataFrame) -> pl.DataFrame:
    """`results` (texts as categories) beside `persoon` and `school` of the row `variant` of `who`, as LINKED_COLUMNS, sorted.

    Nulls come first. ValueError when there are more combinations of values than an Int128 can tell apart, which no country has.
    """
    texts = {name: _ranked(who[name]) for name in ("persoon", "school")}
    ranks = [texts[name][1].gather(variant) for name in ("persoon", "school")]
    for name in results.columns:
        if results.schema[name] == pl.Categorical:
            texts[name] = _ranked(results[name])
            ranks.append(texts[name][1])
        else:
            ranks.append(results[name].rank("dense").fill_null(0).cast(pl.UInt32))
    place = _one_number(ranks).arg_sort()
    columns = []
    for name, rank in zip(LINKED_COLUMNS, ranks, strict=True):
        ordered = texts[name][0].gather(rank.gather(place)) if name in texts else results[name].gather(place)
        columns.append(ordered.alias(name))
    return pl.DataFrame(columns).cast(LINKED_COLUMNS)  # type: ignore[arg-type]


def _ranked(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct values of a column of texts, null first, and for each row the place of its value among them."""
    values = column.drop_nulls().unique().cast(pl.String).sort()
    if column.dtype == pl.String:
        ranks = column.rank("dense").cast(pl.UInt32)
    else:
        ranks = column.cast(pl.Enum(values)).to_physical().cast(pl.UInt32) + 1
    return pl.concat([pl.Series([None], dtype=pl.String), values]), ranks.fill_null(0)


def _one_number(ranks: list[pl.Series]) -> pl.Series:
    room, number = 1, pl.lit(0, dtype=pl.Int128)
    for place, rank in enumerate(ranks):
        values = int(rank.max() or 0) + 1  # type: ignore[arg-type]
        room *= values
        number = number * values + pl.col(str(place)).cast(pl.Int128)
    if room > ROOM:
        raise ValueError("too many different values to put in order")
    return pl.DataFrame([rank.alias(str(place)) for place, rank in enumerate(ranks)]).select(number.alias("place")).to_series()
