"""Which rows of a drop are one pupil, seen from their linking keys alone.

A drop has a row per test result, so a pupil stands in it many times: at one school or, after a move, at two; at one address
or at several. Rows are one pupil when they share a number, birth date and sex; rows without a number when they share the school and
the whole address key. Within a school a number that stands with two birth dates or two sexes is nobody's: a placeholder somebody
made up, or a brother's. Such a number is taken away, and the rows go on with what is left.
"""

from collections.abc import Sequence
from functools import reduce
from operator import xor

import numpy as np
import polars as pl

#: number → what must be the same for two rows to be one pupil
NUMBERS = {
    "key_bsn": ("key_bsn", "key_bsn_birth", "key_bsn_sex"),
    "key_ond": ("key_ond", "key_ond_birth", "key_ond_sex"),
}


def tell_apart(variants: pl.DataFrame) -> pl.DataFrame:
    """`variants` (`school` as UInt32 and the linking keys, a row per distinct combination) with its order kept, a column `pupil` (UInt32)
    and repeated numbers taken away; `repeated` says where.
    """
    kept = variants.with_columns(repeated=pl.lit(False))
    for number in NUMBERS:
        kept = _without_repeated(kept, number)
    kept = kept.with_columns(bsn=_together(NUMBERS["key_bsn"]), ond=_together(NUMBERS["key_ond"]))
    kept = _with_bsn_of_elsewhere(kept)
    # a drawn-out way to say: the BSN, else the onderwijsnummer, else the school with the address
    rest = pl.col("key_address").fill_null(0) ^ pl.col("school").cast(pl.Int128)
    who = pl.coalesce("bsn", "ond", rest)
    numbers = kept.select(who.rank("dense").cast(pl.UInt32) - 1).to_series().alias("pupil")
    return kept.select(*variants.columns, numbers, "repeated")


def _together(keys: tuple[str, ...]) -> pl.Expr:
    """One value for a number with its birth date and sex: MACs of different blocks, so their XOR is as good as all three."""
    together = reduce(xor, (pl.col(key).fill_null(0) for key in keys))
    return pl.when(pl.col(keys[0]).is_not_null()).then(together)


def _without_repeated(variants: pl.DataFrame, number: str) -> pl.DataFrame:
    _, birth, sex = NUMBERS[number]
    counted = variants.filter(pl.col(number).is_not_null()).group_by(number).agg(rows=pl.len())
    often = counted.filter(pl.col("rows") > 1).select(number)  # few: the pupils that moved
    suspects = variants.select("school", *NUMBERS[number]).join(often, on=number, how="semi")
    differ = (pl.col(birth).drop_nulls().n_unique() > 1) | (pl.col(sex).drop_nulls().n_unique() > 1)
    repeated = suspects.group_by("school", number).agg(differ.alias("taken")).filter("taken")
    if not repeated.height:
        return variants
    marked = variants.join(repeated, on=["school", number], how="left", maintain_order="left")
    taken = pl.col("taken").fill_null(False)
    left = [pl.when(~taken).then(key).alias(key) for key in NUMBERS[number]]
    return marked.with_columns(*left, repeated=pl.col("repeated") | taken).drop("taken")


def _with_bsn_of_elsewhere(variants: pl.DataFrame) -> pl.DataFrame:
    """Rows with only an onderwijsnummer belong to the pupil that has it beside a BSN, if there is one such pupil."""
    both = variants.filter(pl.col("bsn").is_not_null() & pl.col("ond").is_not_null())
    if variants.filter(pl.col("bsn").is_null() & pl.col("ond").is_not_null()).is_empty() or both.is_empty():
        return variants
    one = both.group_by("ond").agg(pl.col("bsn").n_unique().alias("pupils"), pl.col("bsn").min().alias("same"))
    one = one.filter(pl.col("pupils") == 1).select("ond", "same")
    known = variants.join(one, on="ond", how="left", maintain_order="left")
    return known.with_columns(bsn=pl.coalesce("bsn", "same")).drop("same")


def with_result_in(variants: pl.DataFrame, results: pl.DataFrame, schooljaren: Sequence[str]) -> pl.Series:
    """Of each row of `variants` whether its pupil has a result in one of these school years; when there are none of these, true."""
    if not schooljaren:
        return pl.repeat(True, variants.height, eager=True)
    with_one = np.zeros(variants.height, dtype=np.bool_)
    with_one[results["variant"].filter(results["schooljaar"].is_in(list(schooljaren))).to_numpy()] = True
    pupil = variants["pupil"].to_numpy()
    whose = np.zeros(variants.height, dtype=np.bool_)  # pupils are numbered, and no more than there are variants
    whose[pupil[with_one]] = True
    return pl.Series(whose[pupil])
