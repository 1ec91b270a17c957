"""Which results of several parts count, when a country of schools delivers twice."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from gateway.drop.record import LINKED_COLUMNS
from gateway.linker.results import Layer, counting, write_part


def part(path: Path, score: float, persons: int = 3) -> Path:
    """The same test of as many persons of one school, all with this score."""
    of_all = {"school": "s", "schooljaar": "2025-2026", "jaargroep": "5", "uitgever": "cito", "toetscode": "T", "domein": "spelling"}
    rows = [{"persoon": f"p{at}", **of_all, "afnamemoment": "M5", "afnamedatum": date(2026, 1, 5), "score": score} for at in range(persons)]
    missing = {name: None for name in LINKED_COLUMNS if name not in rows[0]}
    frame = pl.DataFrame([{**row, **missing} for row in rows], schema_overrides=LINKED_COLUMNS)
    write_part(frame.select(list(LINKED_COLUMNS)).lazy(), path)
    return path


def scores(*layers: Layer) -> list[float]:
    return sorted(counting(layers).collect()["score"])


@pytest.mark.parametrize("name", ["results", "a b", "100%25", "één?#&"])
def test_of_each_result_of_a_round_that_of_the_part_received_last_counts(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    first, second, third = (part(folder / f"{at}", float(at), persons) for at, persons in ((1, 3), (2, 2), (3, 1)))
    assert scores(Layer(first, "M"), Layer(second, "M"), Layer(third, "M")) == [1.0, 2.0, 3.0]
    assert scores(Layer(third, "M"), Layer(second, "M"), Layer(first, "M")) == [1.0] * 3
    assert scores(Layer(first, "M"), Layer(second, "E"), Layer(third, "M")) == [1.0, 1.0, 2.0, 2.0, 3.0], "in another round it is another"
    assert scores(Layer(first), Layer(second, "M"), Layer(third, "M")) == [1.0] * 3 + [2.0, 3.0]


def test_it_is_one_join_however_many_parts_there_are(tmp_path: Path) -> None:
    """With one for each part polars ran out of threads at some thousands, and warned of a deadlock."""
    few = counting([Layer(part(tmp_path / f"{at}", float(at)), "M") for at in range(2)]).explain()
    many = counting([Layer(part(tmp_path / f"{at}", float(at)), "M") for at in range(40)]).explain()
    assert 0 < many.count("JOIN") == few.count("JOIN")
