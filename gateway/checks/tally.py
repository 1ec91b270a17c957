"""Counts a drop's rows, pupils and schools while it streams by, in memory that grows with the pupils and not with the rows."""

from dataclasses import dataclass

import polars as pl

#: So many (school, pupil) pairs may pile up before they are made unique again.
_PILE = 2_000_000


@dataclass(frozen=True)
class SchoolCount:
    """What a drop holds of one school: accepted rows, pupils in them, and objecting pupils who were left out."""

    rows: int
    pupils: int
    objected_pupils: int


class Tally:
    """The counts of one drop; pupils are told apart by a hash of 64 bits that means nothing outside this reading."""

    def __init__(self) -> None:
        self.rows = 0
        self.refused_rows = 0
        self.accepted_rows = 0
        self._school_rows: dict[str, int] = {}
        self._accepted = _Pairs()
        self._objected = _Pairs()

    def accepted(self, frame: pl.DataFrame) -> None:
        """Counts rows of a typed batch that go on."""
        self.accepted_rows += frame.height
        # schools come in runs: counting runs is much cheaper than grouping every row
        runs = frame["brin_vestiging"].rle().struct.unnest()
        for school, rows in runs.group_by("value").agg(pl.col("len").sum()).iter_rows():
            self._school_rows[school] = self._school_rows.get(school, 0) + rows
        self._accepted.add(_pupils(frame))

    def objected(self, frame: pl.DataFrame) -> None:
        """Counts rows of objecting pupils."""
        self._objected.add(_pupils(frame))

    def counts(self, refused: bool) -> dict[str, int]:
        """The receipt's counts; of a refused drop nothing is accepted."""
        return {
            "rows": self.rows,
            "pupils": self._accepted.total(),
            "schools": len(self._school_rows.keys() | self._objected.per_school().keys()),
            "accepted_rows": 0 if refused else self.accepted_rows,
            "refused_rows": self.refused_rows,
            "objected_pupils": self._objected.total(),
        }

    def schools(self) -> dict[str, SchoolCount]:
        """The counts of each school that has accepted rows or objecting pupils."""
        pupils, objected = self._accepted.per_school(), self._objected.per_school()
        return {
            school: SchoolCount(self._school_rows.get(school, 0), pupils.get(school, 0), objected.get(school, 0))
            for school in sorted(self._school_rows.keys() | objected.keys())
        }


class _Pairs:
    """Distinct (school, pupil) pairs."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._height = 0

    def add(self, pairs: pl.DataFrame) -> None:
        self._parts.append(pairs)
        self._height += pairs.height
        if self._height > _PILE:
            whole = self._whole()
            self._parts, self._height = [whole], whole.height // 2  # half, so that a full pile is not sorted for each batch

    def _whole(self) -> pl.DataFrame:
        if not self._parts:
            return pl.DataFrame(schema={"brin_vestiging": pl.String, "pupil": pl.UInt64})
        self._parts = [pl.concat(self._parts).unique()]
        return self._parts[0]

    def total(self) -> int:
        return self._whole().height

    def per_school(self) -> dict[str, int]:
        return dict(self._whole().group_by("brin_vestiging").len().iter_rows())


def _pupils(frame: pl.DataFrame) -> pl.DataFrame:
    """The distinct pupils of a batch: by BSN, else by onderwijsnummer, else by all that is known of them."""
    numbered = (
        pl.when(pl.col("bsn").is_not_null())
        .then(pl.col("bsn").cast(pl.UInt64))
        .when(pl.col("onderwijsnummer").is_not_null())
        .then(pl.col("onderwijsnummer").cast(pl.UInt64) + (1 << 40))
    )
    others = pl.lit(None, dtype=pl.UInt64)
    if (frame["bsn"].is_null() & frame["onderwijsnummer"].is_null()).any():
        others = pl.struct("geslacht", "geboortedatum", "postcode", "huisnummer", "toevoeging").hash()
    pairs = frame.select("brin_vestiging", numbered.otherwise(others).hash().alias("pupil"))
    # a pupil's rows mostly follow each other: only the first of a run goes on to the costly part
    first = (pl.col("pupil") != pl.col("pupil").shift()) | (pl.col("brin_vestiging") != pl.col("brin_vestiging").shift())
    return pairs.filter(first.fill_null(True)).unique()
