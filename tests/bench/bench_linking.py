"""Rows a second from typed batches to a durable part, beside a bare polars script that joins and writes the same in the clear."""

import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from gateway.drop.keyed import with_keys
from gateway.drop.record import BATCH_COLUMNS, IDENTIFIER_COLUMNS, RESULT_COLUMNS
from gateway.linker.drop import link_drop
from gateway.linker.results import write_part
from gateway.registers.persons import REGISTER_COLUMNS
from tests.bench.runner import Result, compare
from tests.support.linking_population import PERSONS, REGISTER_KEY, SCHOOLS

PUPILS, PER_PUPIL, REGISTERED = 160_000, 6, 500_000
BATCH_PUPILS = 20_000
RNG = np.random.default_rng(20261121)


def pick(values: list[str], count: int) -> pl.Series:
    return pl.Series(values).gather(RNG.integers(0, len(values), count))


def population() -> pl.DataFrame:
    people = pl.DataFrame(
        {
            "persoon_id": [f"P{number:08}" for number in range(REGISTERED)],
            "bsn": RNG.permutation(np.arange(200_000_000, 200_000_000 + 3 * REGISTERED, 3)),
            "onderwijsnummer": np.arange(100_000_000, 100_000_000 + REGISTERED),
            "geslacht": pick(["M", "V"], REGISTERED),
            "geboortedatum": pl.Series(RNG.integers(14_000, 18_000, REGISTERED, dtype=np.int32)).cast(pl.Date),
            "postcode": pl.Series(RNG.integers(1000, 9999, REGISTERED)).cast(pl.String) + pick(["AB", "CX", "ZZ", "KL"], REGISTERED),
            "huisnummer": RNG.integers(1, 400, REGISTERED),
            "toevoeging": pick(["", "", "", "A", "2"], REGISTERED),
        }
    )
    return people.cast({**IDENTIFIER_COLUMNS})  # type: ignore[arg-type]


def delivered(people: pl.DataFrame) -> list[pl.DataFrame]:
    """Pupils in the order of their schools; one in thirty without a BSN, half without an onderwijsnummer."""
    pupils = people.head(PUPILS).with_columns(
        bsn=pl.when(pl.Series(RNG.random(PUPILS) > 0.03)).then("bsn"),
        onderwijsnummer=pl.when(pl.Series(RNG.random(PUPILS) > 0.5)).then("onderwijsnummer"),
        brin_vestiging=pl.Series(np.arange(PUPILS) // 230 % 100).cast(pl.String).str.zfill(2)
        + pl.Series(np.arange(PUPILS) // 23_000).replace_strict(dict(enumerate(["AA00", "BB00", "CC00", "DD00", "EE00", "FF00", "GG00"]))),
    )
    rows = pupils[np.repeat(np.arange(PUPILS), PER_PUPIL)]
    count = rows.height
    results = pl.DataFrame(
        {
            "row": np.arange(1, count + 1, dtype=np.uint32),
            "schooljaar": pick(["2024-2025", "2025-2026"], count),
            "jaargroep": pick(list("345678"), count),
            "kinderdagverblijf": RNG.random(count) > 0.5,
            "peuterspeelzaal": RNG.random(count) > 0.5,
            "uitgever": pick(["cito", "iep"], count),
            "toetscode": pick([f"RW2006-12-{number}" for number in range(100)], count),
            "domein": pick(["spelling", "begrijpend_lezen", "rekenen_wiskunde"], count),
            "afnamemoment": pick(["M5", "E5", "M6"], count),
            "afnamedatum": pl.Series(RNG.integers(20_000, 20_400, count, dtype=np.int32)).cast(pl.Date),
            "score": np.round(RNG.normal(200, 30, count), 1),
        }
    )
    whole = pl.concat([rows, results], how="horizontal").select(list(BATCH_COLUMNS)).cast(BATCH_COLUMNS)  # type: ignore[arg-type]
    return [whole.slice(at, BATCH_PUPILS * PER_PUPIL).rechunk() for at in range(0, count, BATCH_PUPILS * PER_PUPIL)]


def run() -> list[Result]:
    people = population()
    dated = people.with_columns(peildatum=pl.lit(date(2026, 10, 1)))
    register = with_keys(dated, REGISTER_KEY).select(list(REGISTER_COLUMNS))
    batches = delivered(people)
    schools = set(pl.concat([batch["brin_vestiging"].unique() for batch in batches]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"

        def ours() -> None:
            outcome = link_drop(batches, register, REGISTER_KEY, schools, set(), PERSONS, SCHOOLS)
            assert outcome.counts["linked_bsn"] > 0.9 * PUPILS and outcome.counts["unmatched"] == 0
            assert write_part(outcome.results, path).rows == outcome.counts["linked_rows"]

        def bare() -> None:
            joined = pl.concat(batches).join(people.select("bsn", "persoon_id"), on="bsn")
            joined.select("persoon_id", "brin_vestiging", *RESULT_COLUMNS).sort("persoon_id").write_parquet(path, compression="zstd")

        amount = PUPILS * PER_PUPIL
        return [compare("link_and_write", ours, "polars joins on a readable BSN", bare, unit="rows/s", amount=amount, per=False)]
