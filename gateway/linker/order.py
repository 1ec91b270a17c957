"""The order in which results are kept: by person, school, then every other column, whatever the order in which they came.

Equal results in equal order make equal files. Each column is its distinct values in order and, per row, the place of its value
among them: that sorts fast (all places of a row become one number) and takes a tenth of the memory of the texts themselves.
"""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl
from polars.io.plugins import register_io_source

from gateway.drop.record import LINKED_COLUMNS, RESULT_COLUMNS

#: The largest number that an Int128 holds.
ROOM = (1 << 127) - 1
SLICE = 1 << 18  # [rows] that are texts at one time


class Coded(NamedTuple):
    """A column: `values`, distinct and in order, null first; `places`, for each row where its value stands among them."""

    values: pl.Series
    places: pl.Series

    def at(self, rows: pl.Series) -> "Coded":
        """The column of other rows: row i of the answer is row `rows[i]` of this one."""
        return Coded(self.values, self.places.gather(rows))


def coded(column: pl.Series) -> Coded:
    """Any column of results; texts may be categories, and are cheaper as such."""
    if column.dtype == pl.Categorical:
        values = column.drop_nulls().unique().cast(pl.String).sort()
        places = column.cast(pl.Enum(values)).to_physical()
    else:
        values = column.drop_nulls().unique().sort()
        bounds = (values, column) if column.dtype != pl.Boolean else (values.cast(pl.UInt8), column.cast(pl.UInt8))
        places = bounds[0].search_sorted(bounds[1], side="left")
        places = pl.select(pl.when(pl.lit(column.is_not_null())).then(pl.lit(places))).to_series()
    return Coded(pl.concat([values.clear(1), values]), _small(places.cast(pl.UInt32) + 1, values.len()).fill_null(0))


def coded_texts(values: pl.Series, rows: pl.Series) -> Coded:
    """The column whose row i is `values[rows[i]]`; each of `values` (not null) is there once. A null among `rows` is a null."""
    order = values.arg_sort()
    places = order.arg_sort().cast(pl.UInt32) + 1
    return Coded(pl.concat([values.clear(1), values.gather(order)]), places.gather(rows).fill_null(0))


def in_order(persons: Coded, schools: Coded, results: pl.DataFrame) -> pl.LazyFrame:
    """`results` (RESULT_COLUMNS, texts as categories) beside `persoon` and `school`, as LINKED_COLUMNS, sorted; nulls come first.

    It is read slice by slice, so that a whole country's texts are never in memory together. ValueError when there are more combinations of
    values than an Int128 can tell apart, which no country has.
    """
    columns = {"persoon": persons, "school": schools, **{name: coded(results[name]) for name in RESULT_COLUMNS}}
    frame = pl.DataFrame([column.places.alias(name) for name, column in columns.items()])
    values = {name: column.values for name, column in columns.items()}
    del columns
    frame = frame[_one_number(frame, values).arg_sort()]

    def slices(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        names = with_columns or list(LINKED_COLUMNS)
        for start in range(0, frame.height if n_rows is None else min(n_rows, frame.height), SLICE):
            part = frame.slice(start, SLICE if n_rows is None else min(SLICE, n_rows - start))
            texts = pl.DataFrame([values[name].gather(part[name]).alias(name) for name in names])
            yield texts if predicate is None else texts.filter(predicate)

    return register_io_source(slices, schema=LINKED_COLUMNS, is_pure=True)


def _small(places: pl.Series, largest: int) -> pl.Series:
    """In as few bytes as will hold them."""
    if largest < 1 << 8:
        return places.cast(pl.UInt8)
    return places.cast(pl.UInt16) if largest < 1 << 16 else places


def _one_number(frame: pl.DataFrame, values: dict[str, pl.Series]) -> pl.Series:
    room, number = 1, pl.lit(0, dtype=pl.Int128)
    for name in frame.columns:
        room *= values[name].len()
        number = number * values[name].len() + pl.col(name).cast(pl.Int128)
    if room > ROOM:
        raise ValueError("too many different values to put in order")
    return frame.select(number.alias("place")).to_series()
