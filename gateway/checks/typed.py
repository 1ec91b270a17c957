"""From text to the types of a record, column by column, and what is wrong with each value.

A column is first read strictly; only where that fails is it tidied (spaces, case, decimal comma) and read again, so that a
clean export pays nothing for another's habits. No function here builds a text out of a value.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from policies.identifiers import ADDITION, BRIN_VESTIGING, ISO_DATE, POSTCODE, are_bsns, are_onderwijsnummers
from policies.rules import Column, Kind

#: Rule → which rows break it (Boolean series without nulls).
Faults = dict[str, pl.Series]
#: The typed values, and those of the given rows that are well formed (null counts as well formed).
_Read = tuple[pl.Series, pl.Series]


def read_column(raw: pl.Series, column: Column) -> tuple[pl.Series, Faults]:
    """The typed values of a text column and its faults; a value that is refused is null."""
    reader = _READERS[column.kind]
    values, fits = reader(raw, column)
    if not fits.all():
        raw = _tidy(raw, column)
        values, fits = reader(raw, column)
    faults: Faults = {}
    if not fits.all():
        rule = {Kind.BOOLEAN: "code", Kind.INTEGER: "number", Kind.DECIMAL: "number"}.get(column.kind, column.kind.value)
        faults[rule] = ~fits
    if column.required and raw.null_count():
        faults["missing-value"] = raw.is_null()
    for rule, proof in _PROOFS.get(column.kind, {}).items():
        proved = proof(values, column)
        if not proved.all():
            faults[rule] = ~proved
            values = values.set(~proved, None)
    return values.alias(column.name), faults


# ---------------------------------------------------------------- tidying


def _tidy(raw: pl.Series, column: Column) -> pl.Series:
    text = raw.str.strip_chars()
    match column.kind:
        case Kind.BRIN:
            text = text.str.to_uppercase()
        case Kind.POSTCODE:
            text = text.str.to_uppercase().str.replace_all(" ", "", literal=True)
        case Kind.ADDITION:
            text = text.str.to_uppercase().str.replace_all(r"[ .\-]", "")
        case Kind.CODE | Kind.BOOLEAN:
            text = text.str.to_lowercase().replace({value.lower(): value for value in column.values})
        case Kind.DECIMAL:
            text = text.str.replace(",", ".", literal=True)
        case _:
            pass
    return text.replace("", None)


# ---------------------------------------------------------------- reading


def _matching(pattern: str) -> Callable[[pl.Series, Column], _Read]:
    def read(raw: pl.Series, column: Column) -> _Read:
        return _only(raw, raw.str.contains(pattern))

    return read


def _only(raw: pl.Series, fits: pl.Series) -> _Read:
    """The values that fit, the others null; an empty field fits."""
    fits = fits.fill_null(True)
    return (raw if fits.all() else raw.set(~fits, None)), fits


def _cast(raw: pl.Series, values: pl.Series) -> _Read:
    return values, values.is_not_null() | raw.is_null()


def _code(raw: pl.Series, column: Column) -> _Read:
    return _only(raw, raw.is_in(list(column.values)))


def _boolean(raw: pl.Series, column: Column) -> _Read:
    values, fits = _code(raw, column)
    return values == column.values[0], fits


def _pattern(raw: pl.Series, column: Column) -> _Read:
    fits = raw.str.contains(column.pattern)
    return _only(raw, fits & (raw.str.len_bytes() <= column.max_length) if column.max_length else fits)


def _addition(raw: pl.Series, column: Column) -> _Read:
    values, fits = _only(raw, raw.str.contains(ADDITION))
    return values.fill_null(""), fits


def _number(raw: pl.Series, column: Column) -> _Read:
    """At most nine digits: leading zeros may be missing, but a tenth digit is another number."""
    long = raw.str.len_bytes() > 9
    return _cast(raw, (raw.set(long, None) if long.any() else raw).cast(pl.UInt32, strict=False))


def _integer(raw: pl.Series, column: Column) -> _Read:
    return _cast(raw, raw.cast(pl.UInt32, strict=False))


def _decimal(raw: pl.Series, column: Column) -> _Read:
    values = raw.cast(pl.Float64, strict=False)
    finite = values.is_finite()
    return _cast(raw, values if finite.all() else values.set(~finite.fill_null(True), None))


def _date(raw: pl.Series, column: Column) -> _Read:
    shaped, _ = _only(raw, raw.str.contains(ISO_DATE))
    return _cast(raw, shaped.str.to_date("%Y-%m-%d", strict=False))


def _schooljaar(raw: pl.Series, column: Column) -> _Read:
    """Few different values: each is read once."""
    different = raw.unique().drop_nulls()
    shaped = different.filter(different.str.contains("^[0-9]{4}-[0-9]{4}$"))
    begins, ends = (shaped.str.slice(at, 4).cast(pl.UInt16) for at in (0, 5))
    return _only(raw, raw.is_in(shaped.filter(ends == begins + 1).implode()))


_READERS: dict[Kind, Callable[[pl.Series, Column], _Read]] = {
    Kind.BRIN: _matching(BRIN_VESTIGING),
    Kind.BSN: _number,
    Kind.ONDERWIJSNUMMER: _number,
    Kind.CODE: _code,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.POSTCODE: _matching(POSTCODE),
    Kind.ADDITION: _addition,
    Kind.SCHOOLJAAR: _schooljaar,
    Kind.PATTERN: _pattern,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
}


# ---------------------------------------------------------------- proving


def _proved_by(test: Callable[[NDArray[np.uint32]], NDArray[np.bool_]]) -> Callable[[pl.Series, Column], pl.Series]:
    def prove(values: pl.Series, column: Column) -> pl.Series:
        given = values.is_not_null()
        if not given.any():
            return ~given
        return pl.Series(test(values.fill_null(0).to_numpy())) | ~given

    return prove


def _in_range(values: pl.Series, column: Column) -> pl.Series:
    if column.range is None:
        return pl.repeat(True, len(values), eager=True)
    return values.is_between(*column.range).fill_null(True)


_PROOFS: dict[Kind, dict[str, Callable[[pl.Series, Column], pl.Series]]] = {
    Kind.BSN: {"elfproef": _proved_by(are_bsns)},
    Kind.ONDERWIJSNUMMER: {"elfproef": _proved_by(are_onderwijsnummers)},
    Kind.INTEGER: {"range": _in_range},
    Kind.DECIMAL: {"range": _in_range},
}
