"""A drop's rows, held compactly while its stream runs: who (keys only) apart from what (results only).

Nothing that is kept here can be read as an identifier. Vendors write a pupil's rows one after the other, so keys are made where the
identifiers change, not for each row; the same combination met again later is found by its keys.
"""

from dataclasses import dataclass
from functools import reduce
from operator import xor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.drop.keyed import KEY_COLUMNS, with_keys
from gateway.drop.record import IDENTIFIER_COLUMNS, RESULT_COLUMNS
from keys.secret import Secret

#: Runs are merged with what is known once there are this many [rows], or as many as are known.
MERGE_AT_LEAST = 1 << 19


@dataclass(frozen=True)
class Gathered:
    """`variants`: `school` (its place in `schools`) and KEY_COLUMNS, a row per distinct combination. `results`: `variant` (the row of
    `variants`) and RESULT_COLUMNS, texts as categories, in the order of the drop.
    """

    schools: list[str]
    variants: pl.DataFrame
    results: pl.DataFrame


class Gatherer:
    def __init__(self, key: Secret, merge_at_least: int = MERGE_AT_LEAST) -> None:
        self._key = key
        self._merge_at_least = merge_at_least
        self._schools: dict[str, int] = {}
        self._known = pl.DataFrame(schema=_VARIANTS)
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._runs = 0
        self._variant_of_run: list[NDArray[np.uint32]] = []
        self._results: list[pl.DataFrame] = []

    def add(self, batch: pl.DataFrame) -> None:
        """Take in a batch (gateway.drop.record.BATCH_COLUMNS); its identifiers are not kept."""
        if not batch.height:
            return
        same = [pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _WHO]
        starts = batch.select((~pl.all_horizontal(same)) | (pl.int_range(pl.len()) == 0)).to_series()
        run = (starts.cast(pl.Int64).cum_sum() + (self._runs - 1)).cast(pl.UInt32).alias("run")
        self._results.append(batch.select(run, *_COMPACT).rechunk())
        self._keep_runs(batch.filter(starts).select(_WHO))
        if self._pending_rows > max(self._merge_at_least, self._known.height):
            self._merge()

    def gathered(self) -> Gathered:
        """Everything that was added; the gatherer is empty afterwards."""
        self._merge()
        variant_of_run = np.concatenate([np.zeros(0, dtype=np.uint32), *self._variant_of_run])
        # batch by batch, so that the rows are not in memory twice
        parts = [pl.DataFrame(schema={"variant": pl.UInt32, **_COMPACT_TYPES})]
        self._results.reverse()
        while self._results:
            part = self._results.pop()
            variant = pl.Series("variant", variant_of_run[part["run"].to_numpy()], dtype=pl.UInt32)
            parts.append(part.select(variant, *RESULT_COLUMNS))
        return Gathered(list(self._schools), self._known.drop("mark"), pl.concat(parts))

    def _keep_runs(self, runs: pl.DataFrame) -> None:
        for school in runs["brin_vestiging"].unique().to_list():
            self._schools.setdefault(school, len(self._schools))
        school = pl.col("brin_vestiging").replace_strict(self._schools, return_dtype=pl.UInt32).alias("school")
        keyed = with_keys(runs, self._key).select(school, *KEY_COLUMNS)
        # MACs of different blocks, so their XOR stands for all of them; a school's number fits in what is left of chance
        mark = reduce(xor, (pl.col(key).fill_null(0) for key in KEY_COLUMNS)) ^ pl.col("school").cast(pl.Int128)
        self._pending.append(keyed.with_columns(mark=mark).select(list(_VARIANTS)))
        self._pending_rows += runs.height
        self._runs += runs.height

    def _merge(self) -> None:
        """Give each pending run the number of its combination; known combinations keep theirs."""
        together = pl.concat([self._known, *self._pending], rechunk=True)
        marks = together.select("mark").with_row_index("at")
        first = marks.unique("mark", keep="first", maintain_order=True).with_row_index("variant")
        numbers = marks.join(first.select("mark", "variant"), on="mark", how="left", maintain_order="left")["variant"]
        self._variant_of_run.append(numbers.slice(self._known.height).to_numpy().astype(np.uint32))
        self._known = together[first["at"]]
        self._pending, self._pending_rows = [], 0


_WHO = ["brin_vestiging", *IDENTIFIER_COLUMNS]
_VARIANTS: dict[str, pl.DataType] = {"school": pl.UInt32(), **dict.fromkeys(KEY_COLUMNS, pl.Int128()), "mark": pl.Int128()}
_COMPACT_TYPES = {name: pl.Categorical() if dtype == pl.String else dtype for name, dtype in RESULT_COLUMNS.items()}
_COMPACT = [pl.col(name).cast(dtype) for name, dtype in _COMPACT_TYPES.items()]
