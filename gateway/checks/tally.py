"""Counts a drop's rows, pupils and schools while it streams by, in memory that grows with the pupils and not with the rows."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.checks.findings import DropRefused, finding

#: So many runs of rows may pile up before those of one pupil are taken together again.
_PILE = 2_000_000
#: So many pupils one drop may hold, more than the country has: each costs memory until the drop's end.
MOST_PUPILS = 2_000_000

_WHO = ["brin_vestiging", "pupil", "old"]
_SUMMED = (pl.col("rows").sum(), pl.col("row").min())


@dataclass(frozen=True)
class SchoolCount:
    """What a drop holds of one school: accepted rows, pupils in them, and objecting pupils who were left out."""

    rows: int
    pupils: int
    objected_pupils: int


class Tally:
    """The counts of one drop; pupils are told apart by a hash of 64 bits that means nothing outside this reading.

    `newest_since`: the first of the school years in one of which a pupil must have a result to count; "": any will do.
    """

    def __init__(self, newest_since: str = "") -> None:
        self.rows = 0
        self.refused_rows = 0
        self._newest_since = newest_since
        self._accepted = _Pile()
        self._objected = _Pile()

    def accepted(self, frame: pl.DataFrame) -> None:
        """Counts rows of a typed batch that go on. DropRefused (`expansion`) when they are of too many pupils."""
        self._accepted.add(_runs(frame, self._newest_since))

    def objected(self, frame: pl.DataFrame) -> None:
        """Counts rows of objecting pupils; refuses as `accepted` does."""
        self._objected.add(_runs(frame, self._newest_since))

    @property
    def objected_rows(self) -> int:
        """How many rows of objecting pupils there are."""
        return int(self._objected.whole()["rows"].sum())

    def refuse_leavers(self) -> NDArray[np.uint32]:
        """Once all was read: take the accepted rows of pupils without a result since `newest_since` for refused, and say which is the
        first row of each of these pupils.
        """
        whole = self._accepted.whole()
        left = whole.filter("old").join(whole.filter(~pl.col("old")), on="pupil", how="anti")
        self.refused_rows += int(left["rows"].sum())
        self._accepted = _Pile(whole.join(left, on="pupil", how="anti"))
        return left.group_by("pupil").agg(pl.col("row").min())["row"].sort().to_numpy()

    def counts(self, refused: bool) -> dict[str, int]:
        """The receipt's counts; of a refused drop nothing is accepted."""
        accepted, objected = self._accepted.whole(), self._objected.whole()
        return {
            "rows": self.rows,
            "pupils": _pupils_in(accepted).height,
            "schools": pl.concat([accepted["brin_vestiging"], objected["brin_vestiging"]]).n_unique(),
            "accepted_rows": 0 if refused else int(accepted["rows"].sum()),
            "refused_rows": self.refused_rows,
            "objected_pupils": _pupils_in(objected).height,
        }

    def objecting(self) -> dict[str, SchoolCount]:
        """Of each school with objecting pupils how many they are, for a drop that is refused because of them: nothing else of it counts."""
        counted = _pupils_in(self._objected.whole()).group_by("brin_vestiging").len().sort("brin_vestiging")
        return {school: SchoolCount(0, 0, pupils) for school, pupils in counted.iter_rows()}

    def schools(self) -> dict[str, SchoolCount]:
        """The counts of each school that has accepted rows or objecting pupils."""
        accepted, objected = self._accepted.whole(), self._objected.whole()
        rows = dict(accepted.group_by("brin_vestiging").agg(pl.col("rows").sum()).iter_rows())
        pupils, objecting = (dict(_pupils_in(pile).group_by("brin_vestiging").len().iter_rows()) for pile in (accepted, objected))
        return {
            school: SchoolCount(rows.get(school, 0), pupils.get(school, 0), objecting.get(school, 0))
            for school in sorted(rows.keys() | objecting.keys())
        }


class _Pile:
    """Runs of rows by school and pupil, apart by whether they are `old`: how many `rows`, and which `row` is the first."""

    def __init__(self, *parts: pl.DataFrame) -> None:
        self._parts = list(parts)
        self._height = 0

    def add(self, runs: pl.DataFrame) -> None:
        self._parts.append(runs)
        self._height += runs.height
        if self._height > _PILE:
            height = self.whole().height
            if height > MOST_PUPILS:
                raise DropRefused(finding("expansion"))
            self._height = height // 2  # half, so that a full pile is not sorted for each batch

    def whole(self) -> pl.DataFrame:
        """One row for each school, pupil and `old`."""
        if len(self._parts) != 1:
            self._parts = [pl.concat([pl.DataFrame(schema=_RUN), *self._parts]).group_by(_WHO).agg(_SUMMED)]
        return self._parts[0]


_RUN: dict[str, pl.DataType] = {
    "brin_vestiging": pl.String(),
    "pupil": pl.UInt64(),
    "old": pl.Boolean(),
    "rows": pl.UInt32(),
    "row": pl.UInt32(),
}


def _pupils_in(pile: pl.DataFrame) -> pl.DataFrame:
    return pile.select("brin_vestiging", "pupil").unique()


def _runs(frame: pl.DataFrame, newest_since: str) -> pl.DataFrame:
    """The rows of a batch by school and pupil: the BSN, else the onderwijsnummer, else all that is known of them."""
    numbered = (
        pl.when(pl.col("bsn").is_not_null())
        .then(pl.col("bsn").cast(pl.UInt64))
        .when(pl.col("onderwijsnummer").is_not_null())
        .then(pl.col("onderwijsnummer").cast(pl.UInt64) + (1 << 40))
    )
    others = pl.lit(None, dtype=pl.UInt64)
    if (frame["bsn"].is_null() & frame["onderwijsnummer"].is_null()).any():
        others = pl.struct("geslacht", "geboortedatum", "postcode", "huisnummer", "toevoeging").hash()
    # school years are of one length: the earlier one comes first as a text, too
    old = (pl.col("schooljaar") < newest_since).alias("old")
    who = frame.select("brin_vestiging", numbered.otherwise(others).hash().alias("pupil"), old, "row")
    # a pupil's rows mostly follow each other: only runs of them go on to the costly part
    changes = [pl.col(name) != pl.col(name).shift() for name in _WHO]
    starts = who.select(pl.any_horizontal(changes).fill_null(True)).to_series()
    rows = np.diff(np.flatnonzero(starts.to_numpy()), append=frame.height).astype(np.uint32)
    return who.filter(starts).with_columns(rows=pl.Series(rows)).select(list(_RUN)).group_by(_WHO).agg(_SUMMED)
