"""The predicted reference value: what a school with exactly these pupils and characteristics would be expected to score.

The official regression isn't public; this one is ours (docs/method.md). Per cell, in two steps of least squares:

1. within schools: the slope of a pupil's second score on the first, both as deviations from the means of the school, so that no
   difference between schools goes into it;
2. between schools, weighted with their numbers of pupils: what that slope leaves of a school's mean second score, on the mean first
   score (the context effect of Mundlak 1978) and what is known of the school and its pupils, as far as there are schools enough.

A school is predicted by the others: its own sums are taken out of the slope, and in the second step the residual over 1 − leverage is
what leaving it out would give (Cook & Weisberg 1982, § 2.2). A school's own result must not be its yardstick.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.reports.cells import CELL
from policies.growth import ReferenceRules

Floats = NDArray[np.float64]

#: Above this leverage a school alone decides its own prediction: there is no other like it.
OWN_YARDSTICK = 0.99

#: Singular values below this share of the largest count as none.
RANK_TOLERANCE = 1e-9


def with_reference(cells: pl.DataFrame, predictors: Sequence[Sequence[str]], rules: ReferenceRules) -> pl.DataFrame:
    """`cells` (one row per CELL and school) with `reference`, the predicted mean second score; null where there can be none.

    `predictors` are groups of numeric columns (the levels of one characteristic belong together), the most telling first. Groups are
    taken in that order as long as there are enough schools for them; a missing value counts as the mean.
    """
    if cells.is_empty():
        return cells.with_columns(reference=pl.lit(None, dtype=pl.Float64))
    parts = cells.sort(*CELL, "school").partition_by(CELL, maintain_order=True)
    return pl.concat([part.with_columns(reference=_predict(part, predictors, rules)) for part in parts])


def _predict(part: pl.DataFrame, predictors: Sequence[Sequence[str]], rules: ReferenceRules) -> pl.Series:
    if part.height < rules.fewest_schools:
        return pl.Series([None] * part.height, dtype=pl.Float64)
    weight = part["n"].cast(pl.Float64).to_numpy()
    columns = [np.ones(part.height)]
    for group in predictors:
        telling = [column for column in _columns(part, group, weight) if column is not None]
        if part.height >= rules.schools_per_predictor * (len(columns) + len(telling)):
            columns += telling
    first, second = part["first"].to_numpy(), part["second"].to_numpy()
    explained = within_slopes(part["within_xx"].to_numpy(), part["within_xy"].to_numpy()) * first
    predicted = explained + left_out(np.stack(columns, axis=1), second - explained, weight)
    return pl.Series(predicted, dtype=pl.Float64, nan_to_null=True)


def within_slopes(xx: Floats, xy: Floats) -> Floats:
    """For each school the slope over the pupils of all others, from sums about schools' own means; 0 where they don't differ."""
    others_xx, others_xy = xx.sum() - xx, xy.sum() - xy
    slopes: Floats = np.divide(others_xy, others_xx, out=np.zeros_like(xx), where=others_xx > RANK_TOLERANCE * xx.sum())
    return slopes


def _columns(part: pl.DataFrame, group: Sequence[str], weight: Floats) -> Iterator[Floats | None]:
    """Each column centred and scaled, so that no unit outweighs another; None for one without any difference."""
    for name in group:
        values = part[name].cast(pl.Float64).to_numpy()
        known = np.isfinite(values)
        if not known.any():
            yield None
            continue
        mean = np.average(values[known], weights=weight[known])
        values = np.where(known, values - mean, 0.0)
        spread = values.std()
        yield values / spread if spread > RANK_TOLERANCE else None


def left_out(x: Floats, y: Floats, weight: Floats) -> Floats:
    """For each row the prediction of a weighted least-squares fit (shape n × p) on all other rows; NaN where they don't determine it."""
    root = np.sqrt(weight)
    left, singular, _ = np.linalg.svd(x * root[:, None], full_matrices=False)
    basis = left[:, singular > RANK_TOLERANCE * singular[0]]
    scaled = y * root
    residual = scaled - basis @ (basis.T @ scaled)
    leverage = np.einsum("ij,ij->i", basis, basis)
    alone = leverage > OWN_YARDSTICK
    prediction = (scaled - residual / np.where(alone, 1.0, 1.0 - leverage)) / root
    return np.where(alone, np.nan, prediction)
