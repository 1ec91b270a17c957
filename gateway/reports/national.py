"""What the country's pupils did: mean and spread of each cell, and the same cell of each school beside it."""

import polars as pl

from gateway.reports.cells import CELL


def national_cells(pairs: pl.DataFrame) -> pl.DataFrame:
    """Per CELL over all pupils: `nation_n`, `nation_growth` (mean), `nation_sd` (standard deviation between pupils; null for one)."""
    return pairs.group_by(CELL).agg(
        nation_n=pl.len().cast(pl.Int64), nation_growth=pl.col("growth").mean(), nation_sd=pl.col("growth").std(ddof=1)
    )


def school_cells(pairs: pl.DataFrame, national: pl.DataFrame, background: list[str]) -> pl.DataFrame:
    """Per CELL and school: `n`, means `first`, `second`, `growth`, `at_least` (pupils who grew at least as much as the country's mean),
    the national figures, and for the reference value the sums of squares and products of scores about the school's own means
    (`within_xx`, `within_xy`) and the shares of pupils (`background` names those columns, 0 or 1)."""
    shares = [pl.col(name).cast(pl.Float64).mean() for name in background]
    return (
        pairs.join(national, on=CELL, how="left")
        .group_by(*CELL, "school")
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("first", "second", "growth").mean(),
            (pl.col("first").var(ddof=0) * pl.len()).alias("within_xx"),
            (pl.cov("first", "second", ddof=0) * pl.len()).alias("within_xy"),
            (pl.col("growth") >= pl.col("nation_growth")).sum().cast(pl.Int64).alias("at_least"),
            pl.col("nation_n", "nation_growth", "nation_sd").first(),
            *shares,
        )
        .sort(*CELL, "school")
    )


def standardised() -> pl.Expr:
    """A school's mean growth in standard deviations of the country's pupils, the country's mean being 0. Null without spread."""
    return pl.when(pl.col("nation_sd") > 0).then((pl.col("growth") - pl.col("nation_growth")) / pl.col("nation_sd"))
