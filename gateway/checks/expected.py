"""What a score and the month of a test are expected to be, by publisher, domain and moment.

Looked up in tables and not compared scale by scale: a row costs the same however many scales the policy has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

from policies.rules import Bounds, Rules

_MONTHS = 13  # 0 is none


@dataclass(frozen=True)
class Judged:
    """Which rows of a batch are not as expected (Boolean, no nulls). A value that is null is as expected."""

    impossible: pl.Series  # scores outside their range
    unlikely: pl.Series  # scores outside what is plausible
    unusual: pl.Series  # tests outside the usual months of their moment


class Expected:
    """The tables of one set of rules."""

    def __init__(self, rules: Rules) -> None:
        self._publishers, self._domains = rules.values("uitgever"), rules.values("domein")
        self._moments = ("", *rules.values("afnamemoment"))
        found = [rules.bounds(*place) for place in product(self._publishers, self._domains, self._moments)]
        # the last place is that of rows with a value that was refused
        self._range = _bounds([bounds for bounds, _ in found])
        self._plausible = _bounds([bounds for _, bounds in found])
        unusual = np.zeros((len(self._moments) + 1, _MONTHS), dtype=np.bool_)
        for number, moment in enumerate(self._moments):
            for usual in (one for one in rules.moments if moment.startswith(one.prefix)):
                unusual[number, [month for month in range(1, _MONTHS) if month not in usual.months]] = True
        self._unusual = unusual.ravel()

    def judge(self, frame: pl.DataFrame) -> Judged:
        """What in a typed batch is not as expected."""
        publisher, domain, moment = (
            pl.col(name).cast(pl.Enum(words), strict=False).to_physical().cast(pl.UInt32)
            for name, words in (("uitgever", self._publishers), ("domein", self._domains), ("afnamemoment", self._moments))
        )
        places = (publisher * len(self._domains) + domain) * len(self._moments) + moment
        months = moment * _MONTHS + pl.col("afnamedatum").dt.month()
        at = frame.select(place=places.fill_null(len(self._range[0]) - 1), month=months.fill_null(len(self._moments) * _MONTHS))
        place, score = at["place"].to_numpy(), frame["score"].to_numpy()
        return Judged(
            pl.Series(_outside(score, self._range, place)),
            pl.Series(_outside(score, self._plausible, place)),
            pl.Series(self._unusual[at["month"].to_numpy()]),
        )


_Tables = tuple[NDArray[np.float64], NDArray[np.float64]]


def _bounds(bounds: Sequence[Bounds | None]) -> _Tables:
    low, high = zip(*((one or (-np.inf, np.inf)) for one in (*bounds, None)), strict=True)
    return np.array(low), np.array(high)


def _outside(score: NDArray[np.float64], tables: _Tables, place: NDArray[np.uint32]) -> NDArray[np.bool_]:
    low, high = tables
    return (score < low[place]) | (score > high[place])  # a null is NaN here, and outside of nothing
