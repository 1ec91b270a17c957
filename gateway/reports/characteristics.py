"""What is known of pupils and schools, as numeric columns for the reference value.

Each characteristic becomes a group of columns that stand or fall together: of a category one column per level but the most frequent
one. What is not known is a level of its own, and levels that are rare are taken together.
"""

from dataclasses import dataclass

import polars as pl

from policies.growth import ReferenceRules

PUPIL_CATEGORIES = ("kinderdagverblijf", "peuterspeelzaal")
BACKGROUND_CATEGORIES = ("opleiding_ouders", "herkomst", "inkomen", "huishouden")

UNKNOWN = "onbekend"
RARE = "overig"

#: Share of the pupils below which a level counts as rare.
RARE_SHARE = 0.02


@dataclass(frozen=True)
class Characteristics:
    """`frame` with a row per person or school, and its columns in groups, one group per characteristic."""

    frame: pl.DataFrame
    groups: list[list[str]]


def of_pupils(pairs: pl.DataFrame, background: pl.DataFrame | None) -> Characteristics:
    """The pairs themselves with a 0-or-1 column for each level of what is known of the pupil."""
    categories = list(PUPIL_CATEGORIES)
    frame = pairs.with_columns(_coded(pairs, name) for name in PUPIL_CATEGORIES)
    if background is not None:
        known = [name for name in BACKGROUND_CATEGORIES if name in background.columns]
        person = pl.col("persoon").cast(pl.String).hash().alias("person")
        rows = background.select(person, *(_coded(background, name) for name in known)).unique("person", keep="any")
        frame = frame.join(rows, on="person", how="left")
        categories = known + categories
    return _levels(frame, categories, RARE_SHARE * frame.height)


def of_schools(schools: pl.DataFrame, rules: ReferenceRules) -> Characteristics:
    """Per school (the hash of its pseudonym): the size, the denomination, and how many schools its municipality has here, which
    stands for urbanity."""
    frame = schools.select(
        pl.col("school").cast(pl.String).hash().alias("school"),
        pl.col("pupils").cast(pl.Float64).log1p().alias("size"),
        pl.col("municipality").len().over("municipality").cast(pl.Float64).log1p().alias("urbanity"),
        _coded(schools, "denomination"),
    )
    denomination = _levels(frame, ["denomination"], rules.rare_category_schools)
    return Characteristics(denomination.frame, [["size"], *denomination.groups, ["urbanity"]])


def _coded(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A column of categories as small numbers with names: the pairs of a country have millions of each."""
    values = frame.select(pl.col(name).unique().drop_nulls().cast(pl.String)).to_series().to_list()
    return pl.col(name).cast(pl.String).cast(pl.Enum(sorted({*values, UNKNOWN, RARE})))


def _levels(frame: pl.DataFrame, categories: list[str], rare: float) -> Characteristics:
    groups = []
    for name in categories:
        filled = pl.col(name).fill_null(UNKNOWN)
        counts = frame.select(filled.alias(name)).group_by(name).len().sort("len", pl.col(name).cast(pl.String), descending=[True, False])
        frequent = counts.filter(pl.col("len") >= rare)[name].to_list()
        levels = frequent[1:] + ([RARE] if len(frequent) < counts.height else [])
        columns = {f"{name}={level}": filled == level for level in frequent[1:]}
        if len(levels) > len(frequent[1:]):
            columns[f"{name}={RARE}"] = filled.is_in(frequent).not_()
        frame = frame.with_columns(expression.cast(pl.UInt8).alias(column) for column, expression in columns.items())
        groups.append(list(columns))
    return Characteristics(frame.drop(categories), [group for group in groups if group])
