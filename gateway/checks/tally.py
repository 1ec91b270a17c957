"""Counts a drop's rows, pupils and schools while it streams by, in memory that grows with the pupils and not with the rows."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.checks.findings import DropRefused, finding

#: So many runs of rows may pile up before those of one pupil are taken together again.
_PILE = 2_000_000
#: So many pupils one drop may hold, a pupil counted at each school: each costs memory until the drop's end. The country has 1.4 million
#: at a time, 2 million with those who left in the last two years and whoever changed schools.
MOST_PUPILS = 3_000_000
_SHARES = 16

_WHO = ["school", "pupil"]
_SUMMED = (pl.col("rows").sum(), pl.col("old_rows").sum(), pl.col("row").min())


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
        self._schools: dict[str, int] = {}  # code → number: a text for each pupil would take most of the memory
        self._accepted = _Pile()
        self._objected = _Pile()

    def accepted(self, frame: pl.DataFrame) -> None:
        """Counts rows of a typed batch that go on. DropRefused (`expansion`) when they are of too many pupils."""
        self._accepted.add(self._runs(frame))

    def objected(self, frame: pl.DataFrame) -> None:
        """Counts rows of objecting pupils; refuses as `accepted` does."""
        self._objected.add(self._runs(frame))

    @property
    def objected_rows(self) -> int:
        """How many rows of objecting pupils there are."""
        return int(self._objected.whole()["rows"].sum())

    def refuse_leavers(self) -> NDArray[np.uint32]:
        """Once all was read: take the accepted rows of pupils without a result since `newest_since` for refused, and say which is the
        first row of each of these pupils.
        """
        whole = self._accepted.whole()
        has_new = pl.col("old_rows") < pl.col("rows")
        left = whole.filter(~has_new).join(whole.filter(has_new), on="pupil", how="anti")
        self.refused_rows += int(left["rows"].sum())
        self._accepted = _Pile(whole.join(left, on="pupil", how="anti"))
        return left.group_by("pupil").agg(pl.col("row").min())["row"].sort().to_numpy()

    def counts(self, refused: bool) -> dict[str, int]:
        """The receipt's counts; of a refused drop nothing is accepted."""
        accepted, objected = self._accepted.whole(), self._objected.whole()
        return {
            "rows": self.rows,
            "pupils": accepted.height,
            "schools": pl.concat([accepted["school"], objected["school"]]).n_unique(),
            "accepted_rows": 0 if refused else int(accepted["rows"].sum()),
            "refused_rows": self.refused_rows,
            "objected_pupils": objected.height,
        }

    def objecting(self) -> dict[str, SchoolCount]:
        """Of each school with objecting pupils how many they are, for a drop that is refused because of them: nothing else of it counts."""
        return {code: SchoolCount(0, 0, pupils) for code, (_, pupils) in sorted(self._per_school(self._objected).items())}

    def schools(self) -> dict[str, SchoolCount]:
        """The counts of each school that has accepted rows or objecting pupils."""
        accepted, objected = self._per_school(self._accepted), self._per_school(self._objected)
        return {
            code: SchoolCount(*accepted.get(code, (0, 0)), objected.get(code, (0, 0))[1])
            for code in sorted(accepted.keys() | objected.keys())
        }

    def _per_school(self, pile: "_Pile") -> dict[str, tuple[int, int]]:
        """Code → rows, pupils."""
        codes = list(self._schools)
        counted = pile.whole().group_by("school").agg(pl.col("rows").sum(), pupils=pl.len())
        return {codes[school]: (rows, pupils) for school, rows, pupils in counted.iter_rows()}

    def _runs(self, frame: pl.DataFrame) -> pl.DataFrame:
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
        old = (pl.col("schooljaar") < self._newest_since).alias("old")
        who = frame.select("brin_vestiging", numbered.otherwise(others).hash().alias("pupil"), old, "row")
        # a pupil's rows mostly follow each other: only runs of them go on to the costly part
        changes = [pl.col(name) != pl.col(name).shift() for name in ("brin_vestiging", "pupil", "old")]
        starts = who.select(pl.any_horizontal(changes).fill_null(True)).to_series()
        lengths = np.diff(np.flatnonzero(starts.to_numpy()), append=frame.height).astype(np.uint32)
        runs = who.filter(starts).with_columns(rows=pl.Series(lengths))
        for code in runs["brin_vestiging"].unique(maintain_order=True):
            self._schools.setdefault(code, len(self._schools))
        return (
            runs.select(
                pl.col("brin_vestiging").replace_strict(self._schools, return_dtype=pl.UInt32).alias("school"),
                "pupil",
                "rows",
                old_rows=pl.when("old").then("rows").otherwise(0).cast(pl.UInt32),
                row="row",
            )
            .group_by(_WHO)
            .agg(_SUMMED)
        )


class _Pile:
    """Runs of rows by school and pupil: how many `rows`, how many of them are old, and which `row` is the first."""

    def __init__(self, *parts: pl.DataFrame) -> None:
        self._parts = list(parts)
        self._height = 0

    def add(self, runs: pl.DataFrame) -> None:
        self._parts.append(runs.cast(_RUN))
        self._height += runs.height
        if self._height > _PILE:
            height = self.whole().height
            if height > MOST_PUPILS:
                raise DropRefused(finding("expansion"))
            self._height = height // 2  # half, so that a full pile is not sorted for each batch

    def whole(self) -> pl.DataFrame:
        """One row for each school and pupil."""
        if len(self._parts) != 1:
            together = pl.concat([pl.DataFrame(schema=_RUN), *self._parts])
            self._parts = []
            # share by share: grouping takes several times the memory of what it groups
            shares = (together.filter(pl.col("pupil") % _SHARES == share) for share in range(_SHARES))
            self._parts = [pl.concat([share.group_by(_WHO).agg(_SUMMED) for share in shares])]
        return self._parts[0]


_RUN = pl.Schema(
    {
        "school": pl.UInt32(),
        "pupil": pl.UInt64(),
        "rows": pl.UInt32(),
        "old_rows": pl.UInt32(),
        "row": pl.UInt32(),
    }
)
