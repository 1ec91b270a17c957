"""The parts of the results store: a Parquet file per linked drop, under pseudonyms only, whole or not there."""

import hashlib
import io
import os
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from gateway.drop.record import LINKED_COLUMNS
from keys.durable import fsync_folder, is_unfinished, unfinished_name, write_new
from policies.errors import Unsound

#: What makes two results the same one: of one test of one pupil, at one school, on one day.
SAME = ("persoon", "school", "uitgever", "domein", "toetscode", "afnamedatum")

_MARKS = ("mark", "second_mark")

ROW_GROUP = 1 << 18  # [rows]
COMPRESSION_LEVEL = 3


@dataclass(frozen=True)
class PartFacts:
    """What the ledger keeps of a part: `sha256` is that of the file."""

    rows: int
    sha256: str


def parquet_bytes(results: pl.LazyFrame) -> bytes:
    """Results as Parquet (zstd): equal results in equal order give equal bytes with one version of polars, however they came about."""
    buffer = io.BytesIO()
    results.sink_parquet(buffer, compression="zstd", compression_level=COMPRESSION_LEVEL, row_group_size=ROW_GROUP, engine="streaming")
    return buffer.getvalue()


def replace_whole(path: Path, data: bytes) -> None:
    """`path` (0600) holds `data`, durably: after a crash the old or the new content is there, whole."""
    for left in [entry for entry in path.parent.iterdir() if is_unfinished(entry.name, path.name)]:
        left.unlink()  # of a write that was cut off
    unfinished = path.parent / unfinished_name(path.name)
    try:
        write_new(unfinished, data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    fsync_folder(path.parent)


def write_part(results: pl.LazyFrame, path: Path) -> PartFacts:
    """Write results (LINKED_COLUMNS, in the order of `link_drop`) as `path`, replacing what was there; durable when this returns.

    ValueError when the columns are others: nothing else may get into the store.
    """
    if dict(results.collect_schema()) != LINKED_COLUMNS:
        raise ValueError("a part of the results store has LINKED_COLUMNS and nothing else")
    data = parquet_bytes(results)
    replace_whole(path, data)
    return PartFacts(_rows(path), hashlib.sha256(data).hexdigest())


def _rows(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())


def scan(paths: Sequence[Path]) -> pl.LazyFrame:
    """The results of all these parts together (LINKED_COLUMNS), read as they are needed; no parts: no rows."""
    if not paths:
        return pl.LazyFrame(schema=LINKED_COLUMNS)
    return pl.scan_parquet(list(paths), schema=LINKED_COLUMNS)


@dataclass(frozen=True)
class Layer:
    """A part. `round`: the round of deliveries in which other parts may hold the same results; None when none do."""

    path: Path
    round: str | None = None


def counting(layers: Sequence[Layer]) -> pl.LazyFrame:
    """The results that count (LINKED_COLUMNS), of parts in the order in which they were received: of what some parts of a round hold alike
    only the last. The other parts are read as `scan` does.

    However many parts there are it is one join, on two 64-bit hashes of each result that may be there twice: texts would take gigabytes.
    """
    whole = scan([layer.path for layer in layers if layer.round is None])
    shared = [(str(layer.path), layer.round, order) for order, layer in enumerate(layers) if layer.round is not None]
    if not shared:
        return whole
    came = pl.LazyFrame(shared, schema={"path": pl.String, "round": pl.String, "order": pl.UInt32}, orient="row")
    rows = pl.scan_parquet([path for path, _, _ in shared], schema=LINKED_COLUMNS, include_file_paths="path").join(came, on="path")
    marked = rows.with_columns(pl.struct("round", *SAME).hash(seed).alias(mark) for seed, mark in enumerate(_MARKS))
    last = marked.group_by(_MARKS).agg(pl.col("order").max())
    return pl.concat([whole, marked.join(last, on=[*_MARKS, "order"], how="semi").select(list(LINKED_COLUMNS))])


def rows_replaced(earlier: Path, later: Path) -> int:
    """How many rows of one part the other holds anew. OSError when one is not there."""
    both = scan([earlier]).select(SAME).join(_keys([later]), on=SAME, how="semi")
    return int(both.select(pl.len()).collect(engine="streaming").item())


def _keys(paths: Sequence[Path]) -> pl.LazyFrame:
    return scan(paths).select(SAME)


@dataclass(frozen=True)
class Removal:
    """What went out of a part: of each person (first) at each school (both pseudonyms) how many rows, and which by their numbers in the old
    part; and the new part's facts."""

    persons: dict[tuple[str, str], int] = field(repr=False)
    rows: list[int] = field(repr=False)
    facts: PartFacts


def remove_persons(path: Path, persons: Set[str], target: Path) -> Removal | None:
    """Write the part `path` without these persons (pseudonyms) as `target`; None, and nothing written, when it holds none of them.

    Reads only what may hold them, since a part is sorted by person, and streams what is kept. Unsound (`results-part`) when the part is
    gone or damaged.
    """
    wanted = sorted(persons)
    if not wanted:
        return None
    among = pl.col("persoon").is_between(pl.lit(wanted[0]), pl.lit(wanted[-1])) & pl.col("persoon").is_in(wanted)
    try:
        numbered = pl.scan_parquet(path, schema=LINKED_COLUMNS, row_index_name="at")
        gone = numbered.filter(among).select("at", "persoon", "school").collect(engine="streaming").sort("at")
        if gone.is_empty():
            return None
        facts = write_part(scan([path]).filter(~among), target)
    except (pl.exceptions.PolarsError, FileNotFoundError):
        raise Unsound("results-part", "A part of the results can't be read.", "Restore it from a backup.") from None
    counted = gone.group_by("persoon", "school").len()
    return Removal({(person, school): rows for person, school, rows in counted.iter_rows()}, gone["at"].to_list(), facts)
