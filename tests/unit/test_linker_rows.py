"""Rows of a part by their numbers: an older copy loses the very rows that went."""

from pathlib import Path

import polars as pl
import pytest

from gateway.drop.record import LINKED_COLUMNS
from gateway.drop.row_ranges import rows_of, texts_of
from gateway.linker.results import remove_persons, scan, write_part
from gateway.linker.rows import remove_rows
from policies.errors import Unsound

PERSONS = ["p1-a", "p1-a", "p1-b", "p1-c", "p1-c", "p1-c", "p1-d"]


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "drop.parquet"
    frame = pl.DataFrame({"persoon": PERSONS, "score": [float(row) for row in range(len(PERSONS))]})
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in LINKED_COLUMNS.items() if name not in frame.columns]
    write_part(frame.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in LINKED_COLUMNS.items()).lazy(), path)
    return path


def scores(path: Path) -> list[float]:
    return scan([path]).collect()["score"].to_list()


def test_one_removal_after_the_other_counts_in_what_is_left(part: Path, tmp_path: Path) -> None:
    """As withdrawals took persons out, so an older copy of the part loses them."""
    newest, steps = part, []
    for number, persons in enumerate(({"p1-c"}, {"p1-a", "p1-d"})):
        target = tmp_path / f"drop.{number}.parquet"
        removal = remove_persons(newest, persons, target)
        assert removal is not None
        steps.append([row for piece in texts_of(removal.rows) for row in rows_of(piece)])
        newest = target
    assert steps == [[3, 4, 5], [0, 1, 3]] and scores(newest) == [2.0]
    assert remove_rows(part, steps) == (removal.facts.rows, removal.facts.sha256)
    assert part.read_bytes() == newest.read_bytes()


@pytest.mark.parametrize("rows", [[7], [0, 1, 99]])
def test_rows_that_are_not_there_are_another_part(part: Path, rows: list[int]) -> None:
    before = part.read_bytes()
    with pytest.raises(Unsound):
        remove_rows(part, [rows])
    assert part.read_bytes() == before


def test_a_part_that_is_gone_or_damaged(part: Path) -> None:
    part.write_bytes(b"PAR1")
    with pytest.raises(Unsound):
        remove_rows(part, [[0]])
    part.unlink()
    with pytest.raises(Unsound):
        remove_rows(part, [[0]])
